"""The front for code without an event loop: a client of `wsext.sync`, on a pair of sockets."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from websockets.utils import accept_key

import wsext
import wsext.sync
from tests.outcomes.faulty import NAME
from wsext import Frame, WebSocketOptions
from wsext.testing.engines import parse_wire, write_wire

__all__ = ["open_session"]

#: A peer that shows every byte answers no pings. Here seconds are real.
_OPTIONS = WebSocketOptions(ping_interval=None, codec_timeout=0.05, negotiation_timeout=0.05)

_PEER = ThreadPoolExecutor(1)


def _serve(sock: socket.socket, message: bytes) -> tuple[bytes, bytes]:
    """Be a server that agrees, sends a message, and closes once something has come back.

    Returns:
        The head of the request, and all bytes after it.
    """
    head = rest = b""
    with sock, suppress(ConnectionError):
        head = sock.recv(1 << 16)
        if not head:
            return head, rest
        (key,) = [line[19:] for line in head.split(b"\r\n") if line[:18] == b"Sec-WebSocket-Key:"]
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept_key(key.decode())}\r\n".encode()
            + f"Sec-WebSocket-Extensions: {NAME}\r\n\r\n".encode()
            + write_wire([Frame(2, message)])
        )
        rest = sock.recv(1 << 16)
        sock.sendall(write_wire([Frame(8, b"\x03\xe8")]))
        data = rest
        while data and all(frame.opcode != 8 for frame in parse_wire(rest, True)):
            data = sock.recv(1 << 16)
            rest += data
    return head, rest


def open_session(message: bytes, installed: Any, seen: Any) -> None:
    """Be a client without an event loop: get one message, and tell it again."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    peer = _PEER.submit(_serve, theirs, message)
    try:
        with wsext.sync.connect(
            "ws://memory/", sock=ours, extensions=installed, options=_OPTIONS
        ) as session:
            seen.agreed = session.extension(NAME, None) is not None
            with suppress(wsext.ConnectionClosed, wsext.ProtocolError):
                session.send(session.receive())
                session.wait_closed()
    except Exception as error:
        seen.raised = error
        ours.close()  # it was not used if there is nothing to offer
    head, rest = peer.result()
    seen.status = 101 if head else 0
    seen.wire = head + rest
    seen.take(parse_wire(rest, True))
