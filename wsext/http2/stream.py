"""One HTTP/2 stream as an asyncio transport.

Reading: what comes is acknowledged when the protocol has taken it. While reading is paused it waits
here, nothing is acknowledged, and after one window the peer has to stop. Writing: what the windows
do not let out waits here, too, and counts for ``pause_writing``.

END_STREAM stands for a closed connection, RST_STREAM for a reset one (RFC 8441 §5).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from h2.errors import ErrorCodes

__all__ = ["Carrier", "StreamTransport"]

_HIGH = 65536
#: Bytes that are delivered before it is asked again whether the protocol reads.
_PIECE = 1 << 14


class Carrier(Protocol):
    """What carries streams: an HTTP/2 connection.

    Attributes:
        blocked: Streams whose protocol was told to stop writing; a stream adds and removes itself.
    """

    blocked: set[StreamTransport]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection's transport knows, and what carries a stream: ``carrier``."""

    def acknowledge(self, stream: StreamTransport, taken: int) -> None:
        """The stream's protocol has taken so many bytes of its window."""

    def send_soon(self, stream: StreamTransport) -> None:
        """The stream has something to send."""

    def unwritten(self, stream: StreamTransport) -> int:
        """Bytes that wait for the socket until the last of this stream's is written."""

    def reset(self, number: int, code: ErrorCodes) -> None:
        """Send RST_STREAM, if the stream is not over."""

    def forget(self, stream: StreamTransport) -> None:
        """The stream is over."""


class StreamTransport(asyncio.Transport):
    """A stream of a connection; reading is paused until somebody resumes it.

    Args:
        carrier: What carries it.
        stream_id: Its number there.
        protocol: Who is told of what happens.
    """

    __slots__ = (
        "_carrier",
        "_closing",
        "_end_sent",
        "_eof",
        "_eof_told",
        "_high",
        "_loop",
        "_lost",
        "_low",
        "_out",
        "_out_size",
        "_protocol",
        "_read_due",
        "_reading",
        "_unread",
        "_writing_paused",
        "is_tunnel",
        "owed",
        "peer_ended",
        "room",
        "stream_id",
        "unread",
        "written_at",
    )

    def __init__(self, carrier: Carrier, stream_id: int, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.stream_id = stream_id
        self._carrier = carrier
        self._protocol: Any = protocol
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._unread = bytearray()
        #: Bytes of the window that wait here until the protocol reads.
        self.unread = 0
        self._read_due = False
        #: Whether the peer has ended its side.
        self.peer_ended = False
        #: Bytes of the window that were taken and are not given back yet.
        self.owed = 0
        #: Bytes that the peer takes now.
        self.room = 0
        #: Whether it carries a protocol of its own, and no body of a request or a response.
        self.is_tunnel = False
        self._eof_told = False
        self._out: deque[bytes | memoryview] = deque()
        self._out_size = 0
        self._high, self._low = _HIGH, _HIGH // 4
        self._writing_paused = False
        self._eof = False  # nothing more will be written
        self._end_sent = False
        self._closing = False
        self._lost = False
        #: Bytes that the connection had written when the last of this stream's were among them.
        self.written_at = 0

    # --- the protocol -------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._carrier.get_extra_info(name, default)

    # --- reading ------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        if (self.unread or self.peer_ended) and not self._read_due:
            self._read_due = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._read_due = False
        while self.unread and self.is_reading():
            data = bytes(self._unread[:_PIECE])
            del self._unread[:_PIECE]
            taken = len(data) if self._unread else self.unread  # with the padding
            self.unread -= taken
            self._deliver(data, taken)
        if self.peer_ended and not self.unread and self.is_reading() and not self._eof_told:
            self._eof_told = True
            if not self._protocol.eof_received():
                self.close()
        self._check_over()

    def _deliver(self, data: bytes, taken: int) -> None:
        try:
            if data:
                self._protocol.data_received(data)
        except Exception as error:  # of this stream's protocol; the other streams go on
            self._loop.call_exception_handler(
                {"message": "data_received() failed", "exception": error, "transport": self}
            )
            self.reset(ErrorCodes.INTERNAL_ERROR)
        self._carrier.acknowledge(self, taken)

    def receive(self, data: bytes, taken: int) -> None:
        """Take the data of a frame, which took some bytes of the window."""
        if self.is_reading() and not self.unread:
            self._deliver(data, taken)
        elif not self._closing:
            self._unread += data
            self.unread += taken

    def receive_end(self) -> None:
        """The peer has ended its side."""
        self.peer_ended = True
        self._read_on()

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self._closing or self._eof:
            return
        for data in list_of_data:
            if len(data):
                self._out.append(data if isinstance(data, bytes) else bytes(data))
                self._out_size += len(data)
        if self._out_size:
            self._carrier.send_soon(self)
            self._check_high()

    @property
    def waiting(self) -> int:
        """Bytes that wait for a window or for the socket."""
        return self._out_size

    @property
    def is_done(self) -> bool:
        """Whether everything is written that ever will be."""
        return self._eof and not self._out_size

    def take(self, size: int) -> bytes:
        """Take out what goes into the next frame, at most so many bytes."""
        taken: list[bytes | memoryview] = []
        left = size
        while self._out and left:
            chunk = self._out.popleft()
            if len(chunk) > left:
                view = memoryview(chunk)
                self._out.appendleft(view[left:])
                chunk = view[:left]
            taken.append(chunk)
            left -= len(chunk)
        self._out_size -= size - left
        return b"".join(taken)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else _HIGH if low is None else 4 * low
        self._low = low if low is not None else self._high // 4
        self._check_high()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._out_size + self._carrier.unwritten(self)

    def _check_high(self) -> None:
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._carrier.blocked.add(self)
            self._protocol.pause_writing()

    def check_low(self) -> None:
        """Let the protocol write again, if enough has left."""
        if self._writing_paused and self.get_write_buffer_size() <= self._low:
            self._writing_paused = False
            self._carrier.blocked.discard(self)
            if not self._lost:
                self._protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof and not self._closing:
            self._eof = True
            self._carrier.send_soon(self)

    # --- the end ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._eof = True
            self._unread.clear()
            if not self._end_sent:
                self._carrier.send_soon(self)
            self._check_over()

    def abort(self) -> None:
        # A side that has written everything may stop receiving with NO_ERROR (RFC 9113 §8.1).
        self.reset(ErrorCodes.NO_ERROR if self._end_sent else ErrorCodes.CANCEL)

    def reset(self, code: ErrorCodes) -> None:
        """Drop the stream with an error code."""
        if not self._lost:
            self._carrier.reset(self.stream_id, code)
            self.lose(None)

    def sent_end(self) -> None:
        """END_STREAM has left."""
        self._end_sent = True
        self._check_over()

    def _check_over(self) -> None:
        if self._end_sent and (self._closing or (self.peer_ended and not self.unread)):
            self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The stream is over; the protocol is told soon, and once."""
        if self._lost:
            return
        self._lost = self._closing = self._eof = True
        self._unread.clear()
        self._out.clear()
        self._out_size = 0
        self._carrier.forget(self)
        self._loop.call_soon(self._protocol_lost, error)

    def _protocol_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
