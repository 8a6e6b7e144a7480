"""What leaves an HTTP/2 connection, and when.

Sending goes round the streams, a frame each, while the windows and the socket take more. What is
sent while events are handled leaves in one write after them.
"""

from __future__ import annotations

import asyncio

from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hyperframe.frame import Frame

from wsext.http2.data import data_frame
from wsext.http2.frames import FrameGuard
from wsext.http2.stream import Carrier, StreamTransport

__all__ = ["DEFAULT_WINDOW", "FrameSender"]

#: Bytes of a window until somebody says something else (RFC 9113 §6.9.2).
DEFAULT_WINDOW = 65535
#: Bytes that are gathered for one write to the socket, and the longest DATA frame.
_GATHER_AT_MOST = 1 << 16
#: Bytes of a DATA frame that is worth window updates, if the window has cut it off.
_SMALL = 128


class FrameSender(Carrier):
    """The sending half of a connection.

    Args:
        h2: The library's connection.
        guard: Counts what the peer may answer.
    """

    def __init__(self, h2: H2Connection, guard: FrameGuard) -> None:
        self.h2 = h2
        self.streams: dict[int, StreamTransport] = {}
        self.blocked: set[StreamTransport] = set()
        self._guard = guard
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._paused = False  # the socket takes nothing
        self._busy = False  # in the middle of events; what is to be sent is sent after them
        self._over = False
        self._send_handle: asyncio.Handle | None = None
        self._sending: dict[int, StreamTransport] = {}  # in the order of their turns
        self._written = 0  # bytes given to the transport so far
        self._out: list[bytes] = []  # frames of the next write; h2 may have some more
        self._gathered = 0  # bytes of them
        self._room = DEFAULT_WINDOW  # bytes that may be sent on all streams

    def open_stream(self, number: int, protocol: asyncio.BaseProtocol) -> StreamTransport:
        """The transport of a stream that begins."""
        stream = self.streams[number] = StreamTransport(self, number, protocol)
        stream.room = self.h2.remote_settings.initial_window_size
        return stream

    def send_headers(self, stream: StreamTransport, fields: list[tuple[str, str]]) -> None:
        """Send header fields.

        Raises:
            h2.exceptions.H2Error: If they may not be sent.
        """
        self.h2.send_headers(stream.stream_id, fields)
        self._flush_soon()

    def send_soon(self, stream: StreamTransport) -> None:
        self._sending[stream.stream_id] = stream
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._busy and self._send_handle is None and not self._over:
            self._send_handle = self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Send what the windows and the socket take."""
        if self._send_handle is not None:
            self._send_handle.cancel()
            self._send_handle = None
        if self._over:
            return
        going = True
        while going and not self._paused:
            going = False
            for stream in list(self._sending.values()):
                going |= self._send_frame(stream)
                if self._paused:
                    break
        self._flush()
        self._wake()

    def _send_frame(self, stream: StreamTransport) -> bool:
        """Send one frame of a stream, if it may; its next turn comes after the others'."""
        number = stream.stream_id
        self._sending.pop(number, None)
        room = min(stream.room, self._room) if stream.waiting else 0
        if room <= 0 and not stream.is_done:
            if stream.waiting:
                self._sending[number] = stream
            return False
        data = b""
        if stream.waiting:
            data = stream.take(min(room, self.h2.max_outbound_frame_size, _GATHER_AT_MOST))
            stream.room -= len(data)
            self._room -= len(data)
            self._put(data_frame(number, data))
            stream.written_at = self._written + self._gathered
        if stream.is_done:
            try:
                self.h2.end_stream(number)
            except (ProtocolError, KeyError) as error:  # h2 knows it no more
                stream.lose(ConnectionResetError(str(error)))
                return False
        if len(data) >= _SMALL or not stream.waiting:
            self._guard.sent_data()
        if stream.waiting:
            self._sending[number] = stream
        elif stream.is_done:
            if not stream.peer_ended:
                self._expect_end(number)
            stream.sent_end()
        if self._gathered >= _GATHER_AT_MOST:
            self._flush()
        return True

    def _put(self, frame: bytes) -> None:
        """Have a frame sent that h2 knows nothing of, after what h2 has to send."""
        for data in (self.h2.data_to_send(), frame):
            if data:
                self._out.append(data)
                self._gathered += len(data)

    def _flush(self) -> None:
        data = b"".join((*self._out, self.h2.data_to_send()))
        self._out.clear()
        self._gathered = 0
        transport = self._transport
        if not data or transport is None or transport.is_closing():
            return
        self._written += len(data)
        transport.write(data)

    def unwritten(self, stream: StreamTransport) -> int:
        if self._transport is None or self._over:
            return 0
        done = self._written - self._transport.get_write_buffer_size()
        return max(0, stream.written_at - done)

    def _wake(self) -> None:
        for stream in list(self.blocked):
            stream.check_low()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush_soon()

    def _write(self, frame: Frame) -> None:
        """Send a frame that h2 knows nothing of."""
        self._put(frame.serialize())
        self._flush()

    def _expect_end(self, number: int) -> None:
        """Our side of a stream has ended; the peer has some seconds to end its own."""
        raise NotImplementedError
