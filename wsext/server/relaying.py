"""How does a connection get to another worker that cannot be handed over itself?

The state of TLS is in this process, and a stream of HTTP/2 is one of several of a connection. So
the other worker gets one end of a socket pair on which HTTP/1.1 is spoken, and this one passes on
what comes from either side.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from wsext.protocol.http import Request
from wsext.runtime import net
from wsext.server.exchange import Exchange
from wsext.server.handing import Note

__all__ = ["hand_over"]


async def hand_over(
    connection: Exchange, request: Request, send: Callable[[Any, Note], bool]
) -> bool:
    """Hand a connection over, with what was read of it; ``False`` if that cannot be now.

    Args:
        connection: The connection, whose request was read and not answered.
        request: The request.
        send: Sends a socket and a note to the other worker; says whether it could.
    """
    transport = connection.transport
    if transport is None or transport.is_closing():
        return False
    secure = transport.get_extra_info("ssl_object") is not None
    first = connection.note
    if first is None:
        peername = transport.get_extra_info("peername")
        note = Note(b"", peername if isinstance(peername, tuple) else None, secure)
    else:  # what another worker has handed over is plain, whatever it was there
        note = Note(b"", first.peername, first.secure, returned=True)
    if secure or request.version == "HTTP/2":
        return await _relay(connection, request, note, send)
    note.data = connection.read_so_far(request)
    if not send(transport.get_extra_info("socket"), note):
        return False
    connection.pass_on()
    transport.abort()  # closes it here; it is not shut down
    return True


async def _relay(
    connection: Exchange, request: Request, note: Note, send: Callable[[Any, Note], bool]
) -> bool:
    ours, theirs = socket.socketpair()
    outer = connection.transport
    assert outer is not None  # as `hand_over` has found
    with theirs:
        from_worker, from_peer = _FromWorker(connection), _FromPeer(connection)
        inner, _ = await net.connect_accepted_socket(lambda: from_worker, ours)
        note.data = connection.read_so_far(request)
        if outer.is_closing() or not send(theirs, note):
            inner.abort()
            return False
    connection.pass_on()
    from_worker.other, from_peer.other = outer, inner
    outer.set_protocol(from_peer)
    outer.resume_reading()
    return True


class _Relayed(asyncio.Protocol):
    """One of the two transports; what happens on it happens to the other one, too.

    Args:
        connection: What this worker knows of the connection.

    Attributes:
        other: The other transport, once both are there.
    """

    def __init__(self, connection: Exchange) -> None:
        self.connection = connection
        self.other: asyncio.Transport | None = None

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()


class _FromPeer(_Relayed):
    """The peer's transport: TLS, or a stream of HTTP/2."""

    def data_received(self, data: bytes) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.connection_lost(exc)
        if self.other is not None:
            self.other.close()


class _FromWorker(_Relayed):
    """The other worker's end of the socket pair."""

    def data_received(self, data: bytes) -> None:
        if self.connection.transport is not None:  # else the peer has gone
            self.connection.write_foreign(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.connection.finish()
