"""Two transports that are each other's peer, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["MemoryTransport", "transport_pair"]

#: Told of every chunk of bytes: (the writing side, the bytes).
Tap = Callable[[str, bytes], None]


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory, with the flow control of a real one.

    Args:
        side: ``"client"`` or ``"server"``: who writes here.
        tap: Told of what is written.
    """

    def __init__(self, side: str, tap: Tap | None = None) -> None:
        super().__init__()
        self.side = side
        self.peer: MemoryTransport
        self.protocol: Any = None
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._unread: list[bytes] = []  # written by the peer, and not read here
        self._unread_size = 0
        self._high = 65536
        self._writing_paused = False
        self._reading = True
        self._closing = False
        self._lost = False
        self._eof_sent = False
        self._eof_due = False
        self._scheduled = False

    # --- reading ------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self.protocol is not None:
            self._scheduled = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._scheduled = False
        if self._lost or not self._reading:
            return
        if self._unread:
            data = b"".join(self._unread)
            self._unread.clear()
            self._unread_size = 0
            self.peer._drained()
            if not self._closing:
                self.protocol.data_received(data)
        if self._eof_due and not self._unread and not self._lost:
            self._eof_due = False
            if not self.protocol.eof_received():
                self.close()

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._closing or self._eof_sent:
            return
        chunk = bytes(data)
        if self._tap is not None:
            self._tap(self.side, chunk)
        peer = self.peer
        if peer._lost:
            return
        peer._unread.append(chunk)
        peer._unread_size += len(chunk)
        peer._schedule()
        if not self._writing_paused and peer._unread_size > self._high:
            self._writing_paused = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(bytes(data) for data in list_of_data))

    def _drained(self) -> None:
        if self._writing_paused and self.peer._unread_size <= self._high // 2:
            self._writing_paused = False
            self._loop.call_soon(self._resume_writing)

    def _resume_writing(self) -> None:
        if not self._lost and not self._writing_paused:
            self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65536 if high is None else high

    def get_write_buffer_size(self) -> int:
        return 0 if self.peer._lost else self.peer._unread_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._high // 4, self._high

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_sent:
            self._eof_sent = True
            self.peer._eof_due = True
            self.peer._schedule()

    # --- the end ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._closing = True
        if not self._lost:
            self._loop.call_soon(self._lose, None)
            self._loop.call_soon(self.peer._lose, ConnectionResetError("the peer aborted"))

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._unread.clear()
        self._unread_size = 0
        if self.protocol is not None:
            self.protocol.connection_lost(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("memory", 0) if name == "peername" else default


def transport_pair(tap: Tap | None = None) -> tuple[MemoryTransport, MemoryTransport]:
    """A client's and a server's end."""
    client, server = MemoryTransport("client", tap), MemoryTransport("server", tap)
    client.peer, server.peer = server, client
    return client, server
