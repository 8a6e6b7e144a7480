"""How bytes get from one end of a connection in memory to the other.

Both `wsext.testing.connect` and the simulated world run on these transports. A `Wire` decides how
a connection behaves; this one is perfect, that of `wsext.testing.simulation.network` is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["MemoryTransport", "Pipe", "Tap", "Wire"]

#: Told of every chunk of bytes: (the writing side, the bytes).
Tap = Callable[[str, bytes], None]

#: Bytes that one read takes at most, as in asyncio.
_READ_SIZE = 1 << 18
#: Bytes that may wait to be written before the protocol is told to pause, as in asyncio.
_HIGH = 1 << 16


class Pipe:
    """One direction: what one end has written and the other has not read yet."""

    __slots__ = ("arrived", "cut_off", "data", "due", "eof", "eof_told")

    def __init__(self) -> None:
        self.data = bytearray()
        self.arrived = 0  # bytes of `data` that are there; the rest is still on its way
        self.due = 0.0  # when the last of it arrives
        self.eof = False  # nothing comes after it, and the reader's side knows it
        self.eof_told = False
        self.cut_off = False  # what is written is lost

    def clear(self) -> None:
        """Lose what has not been read."""
        self.data.clear()
        self.arrived = 0


class Wire:
    """One connection: its two ends, and how it treats what they write. This one is perfect.

    Args:
        tap: Told of what is written.

    Attributes:
        client, server: The two ends.
        capacity: Bytes per direction that count as written although nobody has read them, as
            those do that the operating system holds.
        buffered: Whether an `asyncio.BufferedProtocol` is asked for its buffer. Otherwise it gets
            its bytes by ``data_received``, if it has that method.
    """

    capacity = 0
    buffered = True

    def __init__(self, tap: Tap | None = None) -> None:
        self.tap = tap
        self.client = MemoryTransport("client", self)
        self.server = MemoryTransport("server", self)
        self.client.peer, self.server.peer = self.server, self.client

    def latency(self) -> float:
        """Seconds that what is written now needs to the other end."""
        return 0.0

    def stall(self, side: str) -> float:
        """Seconds for which a side still reads nothing."""
        return 0.0

    def piece(self, side: str, waiting: int) -> int:
        """How many of the waiting bytes a side's next read takes; at least one."""
        return waiting

    def has_read(self, side: str, size: int) -> None:
        """A side has read so many bytes."""

    def note(self, side: str, what: str, size: int = 0) -> None:
        """Something has happened at a side."""

    def extra_info(self, side: str, name: str) -> Any:
        """What a side's transport knows by a name; ``None`` when it does not."""
        return ("memory", 0) if name == "peername" else None

    def reset(self) -> None:
        """Drop the connection: both sides get a `ConnectionResetError`."""
        self.note("both", "reset")
        for end in (self.client, self.server):
            end.lose_soon(ConnectionResetError("connection reset by peer"))


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory, with the flow control of a real one.

    Like TCP, it resets the connection when it is closed while bytes of the peer are unread, and a
    reset throws away what the other side has not read (RFC 9293 §3.10.7.4).
    """

    def __init__(self, side: str, wire: Wire) -> None:
        super().__init__()
        self.side = side
        self.wire = wire
        self.peer: MemoryTransport
        self.protocol: Any = None
        self._inbound = Pipe()
        self._loop = asyncio.get_running_loop()
        self._high, self._low = _HIGH, _HIGH // 4
        self._writing_paused = False
        self._reading = True
        self._read_due = False
        self._eof_sent = False
        self._closing = False
        self._losing = False
        self._lost = False

    # --- reading ------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol
        self._read_soon()

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.wire.note(self.side, "stops reading")

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.wire.note(self.side, "reads again")
            self._read_soon()

    def _read_soon(self) -> None:
        inbound = self._inbound
        if self._read_due or self.protocol is None or not self.is_reading():
            return
        if inbound.arrived or (inbound.eof and not inbound.data and not inbound.eof_told):
            self._read_due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._read_due = False
        if self._lost or not self.is_reading():
            return
        stall = self.wire.stall(self.side)
        if stall > 0:
            self._read_due = True
            self._loop.call_later(stall, self._read)
            return
        inbound = self._inbound
        if inbound.arrived:
            try:
                self._read_piece(inbound)
            except Exception as error:
                self._fail(error)
                return
        elif inbound.eof and not inbound.data and not inbound.eof_told:
            inbound.eof_told = True
            self.wire.note(self.side, "reads the end")
            if not self.protocol.eof_received():
                self.close()
        self._read_soon()

    def _read_piece(self, inbound: Pipe) -> None:
        protocol = self.protocol
        size = min(self.wire.piece(self.side, inbound.arrived), inbound.arrived, _READ_SIZE)
        buffer: Any = None
        if isinstance(protocol, asyncio.BufferedProtocol) and (
            self.wire.buffered or not hasattr(protocol, "data_received")
        ):
            buffer = protocol.get_buffer(-1)
            size = min(size, len(buffer))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
        data = bytes(inbound.data[:size])
        del inbound.data[:size]
        inbound.arrived -= size
        self.wire.note(self.side, "reads", size)
        self.peer.check_low()
        if buffer is None:
            protocol.data_received(data)
        else:
            buffer[:size] = data
            protocol.buffer_updated(size)
        self.wire.has_read(self.side, size)

    # --- what arrives -------------------------------------------------------------------------

    def arrive(self, size: int) -> None:
        """Bytes of the peer have come."""
        if self._lost:
            self._refuse()
            return
        if self._inbound.cut_off:
            self._inbound.clear()
        self._inbound.arrived = min(self._inbound.arrived + size, len(self._inbound.data))
        self._read_soon()

    def arrive_eof(self) -> None:
        """The peer writes nothing more, and everything of it has come."""
        self._inbound.eof = True
        self._read_soon()

    def cut_off(self) -> None:
        """Nothing more of the peer comes, and what has not been read is lost."""
        self._inbound.clear()
        self._inbound.eof = self._inbound.cut_off = True
        self._read_soon()

    def _refuse(self) -> None:
        """Answer with a reset: nobody is here to read."""
        error = ConnectionResetError("the peer closed without reading everything")
        self._later(self.peer.lose_soon, error)

    def _later(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Have something happen at the other end, after all that was written before it."""
        outbound = self.peer._inbound
        now = self._loop.time()
        outbound.due = max(outbound.due, now + self.wire.latency())
        if outbound.due > now:
            self._loop.call_at(outbound.due, callback, *arguments)
        else:
            callback(*arguments)

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._eof_sent and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")  # as asyncio does
        chunk = bytes(data)
        if self._closing or not chunk:
            return
        wire = self.wire
        if wire.tap is not None:
            wire.tap(self.side, chunk)
        wire.note(self.side, "writes", len(chunk))
        self.peer._inbound.data += chunk
        self._later(self.peer.arrive, len(chunk))
        self._check_high()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(bytes(data) for data in list_of_data))

    def _check_high(self) -> None:
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._tell(self.protocol.pause_writing)

    def check_low(self) -> None:
        """The peer has read something."""
        waiting = self.get_write_buffer_size()
        if self._writing_paused and waiting <= self._low:
            self._loop.call_soon(self._resume_writing)
        if self._closing and not waiting:
            self.lose_soon(None)

    def _resume_writing(self) -> None:
        if self._writing_paused and not self._lost and self.get_write_buffer_size() <= self._low:
            self._writing_paused = False
            self._tell(self.protocol.resume_writing)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._report(f"protocol.{callback.__name__}() failed", error)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else _HIGH if low is None else 4 * low
        self._low = low if low is not None else self._high // 4
        if not self._high >= self._low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        if self.protocol is not None and not self._lost:
            self._check_high()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return max(0, len(self.peer._inbound.data) - self.wire.capacity)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_sent:
            self._eof_sent = True
            self.wire.note(self.side, "ends")
            self._later(self.peer.arrive_eof)

    # --- the end ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self.wire.note(self.side, "closes")
            if not self.get_write_buffer_size():
                self.lose_soon(None)

    def abort(self) -> None:
        if not self._losing:
            self._closing = True
            self.wire.note(self.side, "aborts")
            self.lose_soon(None)
            self._later(self.peer.lose_soon, ConnectionResetError("the peer aborted"))

    def _fail(self, error: Exception) -> None:
        """The protocol raised: asyncio reports that and drops the connection."""
        self._report("Fatal error: protocol call failed.", error)
        self.lose_soon(error)
        self._later(self.peer.lose_soon, ConnectionResetError("the peer aborted"))

    def _report(self, message: str, error: Exception) -> None:
        context = {"message": message, "exception": error, "transport": self}
        self._loop.call_exception_handler({**context, "protocol": self.protocol})

    def lose_soon(self, error: Exception | None) -> None:
        """End this side; its protocol is told soon, and once."""
        if self._losing:
            return
        self._losing = self._closing = True
        if error is not None:  # a reset
            self._inbound.clear()
            self.peer._inbound.clear()
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        self._lost = True
        if self._inbound.data:
            if self._inbound.arrived:
                self._refuse()
            self._inbound.clear()
        self.peer.check_low()
        if self.protocol is not None:
            self.wire.note(self.side, "is lost")
            self.protocol.connection_lost(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        found = self.wire.extra_info(self.side, name)
        return default if found is None else found
