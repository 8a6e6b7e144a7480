"""Idle memory: how much a server's resident memory grows with open connections."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import ExitStack

from fleet import Server, Unavailable

__all__ = ["per_connection"]

WARM = 50
SETTLE = 0.5  # seconds for a server to finish what a handshake left to do


def per_connection(
    server: Server, offer: str, connections: int, first: bytes, tls: bool = False
) -> float:
    """KiB per idle connection, the first few not counted.

    Args:
        server: A fresh one.
        offer: The extensions to offer.
        connections: How many to open.
        first: The frame that each sends and has echoed, or nothing.
        tls: Whether it speaks TLS.

    Raises:
        Unavailable: If a connection fails.
    """
    context = ssl._create_unverified_context() if tls else None
    with ExitStack() as stack:
        sizes = []
        for count in (WARM, connections):
            for _ in range(count):
                stack.enter_context(_open(server.port, offer, first, context))
            time.sleep(SETTLE)
            sizes.append(server.rss())
    return (sizes[1] - sizes[0]) / connections / 1024


def _open(port: int, offer: str, first: bytes, context: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    if context is not None:
        sock = context.wrap_socket(sock)
    extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n".encode()
    )
    response = b""
    while b"\r\n\r\n" not in response:
        response += _read(sock)
    if not response.startswith(b"HTTP/1.1 101") or (offer and offer[:18].encode() not in response):
        raise Unavailable("the handshake failed")
    if first:
        sock.sendall(first)
        _read_message(sock)
    return sock


def _read_message(sock: socket.socket) -> None:
    data = _read(sock)
    while True:
        size = data[1] & 127 if len(data) >= 2 else 0
        if size < 126 and len(data) >= 2 + size:
            return
        if size == 126 and len(data) >= 4 and len(data) >= 4 + struct.unpack("!H", data[2:4])[0]:
            return
        data += _read(sock)


def _read(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise Unavailable("the server dropped a connection")
    return data
