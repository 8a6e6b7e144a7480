"""One HTTP/2 connection, either role: its streams, their windows, its limits.

The connection's own window is opened again as data comes, a stream's as its data is taken: so one
session that does not read holds up itself and no other, and what it makes the connection keep is
one window of its stream.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import GoAwayFrame, WindowUpdateFrame

from wsext.escape import get_logger
from wsext.http2.data import LARGEST_WINDOW, Data, sort_frames
from wsext.http2.frames import LONGEST_FRAME, FrameGuard, GoAway, Limits, Violation
from wsext.http2.sending import DEFAULT_WINDOW, FrameSender
from wsext.http2.stream import StreamTransport
from wsext.runtime.net import abort_if_reset, close_in_time, half_close
from wsext.runtime.timers import Timers
from wsext.runtime.turns import SLICE, turns_of

__all__ = ["HTTP2Connection"]

logger = get_logger("wsext.http2")

#: Bytes of all streams that may be on their way at once.
_CONNECTION_WINDOW = 1 << 20
#: Bytes of answers (PING, SETTINGS, RST_STREAM, headers) that may wait for a peer that sends
#: without reading.
_UNREAD_AT_MOST = 1 << 19
#: Seconds for a peer to end its side of a stream, or to read the last of a connection.
_LINGER = 2.0


class _H2(H2Connection):
    """Remembers few of the streams that are over, for what is still on its way to them."""

    MAX_CLOSED_STREAMS = 1000


def _closed() -> H2Connection:
    h2 = _H2()
    h2.close_connection()
    h2.clear_outbound_data_buffer()
    return h2


#: What a connection that is over has instead of its own: it sends nothing, and keeps nothing.
_CLOSED = _closed()


def _code_of(error: ProtocolError) -> ErrorCodes:
    """The error code of a connection that h2 cannot go on with; of a header block that cannot be
    decoded RFC 9113 §4.3 has another one than h2."""
    code = ErrorCodes(error.error_code)
    if code == ErrorCodes.PROTOCOL_ERROR and isinstance(error.__cause__, HPACKError):
        return ErrorCodes.COMPRESSION_ERROR
    return code


class HTTP2Connection(FrameSender, asyncio.Protocol):
    """The protocol of a transport on which HTTP/2 is spoken.

    Args:
        limits: What the peer may do.
        timers: What runs timeouts.
        client_side: Whether this is the client.
    """

    #: The methods that handle events of h2.
    handlers: ClassVar[dict[type[Event], str]] = {
        DataReceived: "_data_received",
        StreamEnded: "_stream_ended",
        StreamReset: "_stream_reset",
        RemoteSettingsChanged: "settings_changed",
    }

    def __init__(self, limits: Limits, timers: Timers, *, client_side: bool) -> None:
        super().__init__(
            _H2(H2Configuration(client_side=client_side, header_encoding=None)),
            FrameGuard(limits, timers.time, self._may_send, after_preface=not client_side),
        )
        self._limits = limits
        self._timers = timers
        self._turns = turns_of(self._loop)
        self.used, self.last = 0.0, SLICE  # seconds of its turns
        self.is_queued = False  # for its next turn
        self._rest: Any = None  # the timer until what has come is handled
        #: Done when the connection is gone, which is later than the end of its last stream.
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._owed = 0  # bytes of the connection's window to give back
        self._ending: dict[int, Any] = {}  # timers of streams that only the peer has to end
        self._discarded = 0  # bytes that have come since the connection is over

    def _settings(self) -> dict[SettingCodes, int]:
        return {
            SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: self._limits.window,
            SettingCodes.MAX_FRAME_SIZE: LONGEST_FRAME,
            SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.header_size,
        }

    # --- the transport ------------------------------------------------------------------------

    def start(self, transport: asyncio.Transport, data: bytes = b"") -> None:
        """Take over a transport, with what has been read from it already."""
        self._transport = transport
        # So that `pause_writing` and `resume_writing` tell when the socket has taken everything.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)
        h2 = self.h2
        h2.local_settings = Settings(
            client=self.h2.config.client_side, initial_values=self._settings()
        )
        h2.max_inbound_frame_size = LONGEST_FRAME
        h2.decoder.max_header_list_size = self._limits.header_size * 4  # bombs; see check_request
        h2.initiate_connection()
        # h2 ends the connection of a peer with a stream too many; here it is only refused.
        h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = self._limits.streams * 2 + 100
        h2.local_settings.acknowledge()
        h2.increment_flow_control_window(_CONNECTION_WINDOW - DEFAULT_WINDOW)
        self._flush()
        if data:
            self.data_received(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "carrier":
            return self
        return self._transport.get_extra_info(name, default) if self._transport else default

    def data_received(self, data: bytes) -> None:
        if self._over:
            self._discarded += len(data)
            if self._discarded > _CONNECTION_WINDOW:  # more than was on its way
                self.abort()
            return
        self._guard.add(data)
        if self.is_queued or self._rest is not None:
            return
        if self._turns.is_spent:
            self._pause(0.0)
        else:
            self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._transport = None
        if not self.gone.done():
            self.gone.set_result(None)

    # --- receiving ----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Handle what has come, until others should have their turn."""
        self._rest = None
        began, going = self._turns.clock(), True
        self._busy = True
        try:
            while going and not self._over:
                in_headers, part = self._guard.in_headers, self._guard.next()
                if part is None:
                    break
                if in_headers:
                    self._handle(self._parse(part))
                else:
                    self._take(part)
                going = not self._guard.rest and not self._turns.is_over(began)
        except Violation as violation:
            self.fail(violation.code, violation.why)
        except H2Error as error:  # an answer that h2 does not let out
            self.fail(ErrorCodes.INTERNAL_ERROR, repr(error))
        finally:
            self._busy = False
        self._send()
        self._turns.charge(self, began)
        transport = self._transport
        if transport is None or self._over:
            return
        if transport.get_write_buffer_size() > _UNREAD_AT_MOST:
            logger.debug("the peer sends and does not read; aborted")
            transport.abort()
        elif going:
            transport.resume_reading()
        else:
            self._pause(self._guard.rest)

    def _pause(self, seconds: float) -> None:
        """Read and handle nothing until it is this connection's turn, and for some seconds."""
        if self._transport is not None:
            self._transport.pause_reading()
        if seconds:
            self._rest = self._timers.call_later(seconds, self.go_on)
        else:
            self._turns.queue(self)

    def _parse(self, data: bytes) -> list[Event]:
        self._put(b"")  # what h2 has to send by now
        try:
            return self.h2.receive_data(data)
        except ProtocolError as error:
            self.h2.clear_outbound_data_buffer()  # a GOAWAY of its own: one is enough
            self.fail(_code_of(error), str(error))
        except (H2Error, HyperframeError, ValueError, LookupError) as error:  # h2 forgets some
            self.fail(ErrorCodes.PROTOCOL_ERROR, repr(error))
        return []

    def _may_send(self, number: int) -> bool:
        """Whether the peer's side of a stream is open."""
        stream = self.streams.get(number)
        return number in self._ending if stream is None else not stream.peer_ended

    def _take(self, part: bytes) -> None:
        """Handle frames that have come."""
        data, update, rest = sort_frames(part, self._is_tunnel)
        for one in data:
            if not self._over:
                self._take_data(one)
        if update is not None and not self._over:
            self._take_update(*update)
        if not self._over:
            self._handle(self._parse(rest) if rest else [])

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            handler = self.handlers.get(type(event))
            if handler is not None and not self._over:
                getattr(self, handler)(event)
        if self._over:
            return
        for goaway in self._guard.goaways:
            self.going_away(goaway)
        self._guard.goaways.clear()
        if self._guard.dropped >= _CONNECTION_WINDOW // 2:
            # Not by h2, which does not know that the peer has used them.
            self._write(WindowUpdateFrame(0, window_increment=self._guard.dropped))
            self._guard.dropped = 0

    def _is_tunnel(self, number: int) -> bool:
        stream = self.streams.get(number)
        return stream is not None and stream.is_tunnel and not stream.peer_ended

    def _take_data(self, data: Data) -> None:
        self._owed += data.taken
        if self._owed >= _CONNECTION_WINDOW // 2:
            self._put(WindowUpdateFrame(0, window_increment=self._owed).serialize())
            self._owed = 0
        stream = self.streams.get(data.stream)
        if stream is None:  # ended by what came before, for another stream
            return
        if stream.owed + stream.unread + data.taken > self._limits.window:
            raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, "data beyond a stream's window")
        stream.receive(data.payload, data.taken)

    def _data_received(self, event: DataReceived) -> None:
        """A part of a body has come, or the last of a tunnel that this side has ended."""
        taken = event.flow_controlled_length or 0
        if taken:
            self.h2.increment_flow_control_window(taken)
        stream = self.streams.get(event.stream_id or 0)
        if stream is not None and taken:
            stream.receive(event.data or b"", taken)

    def acknowledge(self, stream: StreamTransport, taken: int) -> None:
        stream.owed += taken
        if stream.owed < self._limits.window // 2 or self._over or stream.peer_ended:
            return  # a stream that the peer has ended needs no window
        number = stream.stream_id
        if stream.is_tunnel:
            self._put(WindowUpdateFrame(number, window_increment=stream.owed).serialize())
        else:
            with suppress(ProtocolError, KeyError):  # h2 knows it no more
                self.h2.increment_flow_control_window(stream.owed, number)
        stream.owed = 0
        self._flush_soon()

    def _take_update(self, number: int, more: int) -> None:
        """The peer takes more bytes of a stream, or of all (RFC 9113 §6.9)."""
        stream = self.streams.get(number)
        if not number:
            self._room += more
            if self._room > LARGEST_WINDOW:
                raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, "too large a window")
        elif stream is None:  # h2 knows whether it was ever there
            self._handle(self._parse(WindowUpdateFrame(number, window_increment=more).serialize()))
        else:
            stream.room += more
            if stream.room > LARGEST_WINDOW:
                self._guard.count_reset()
                stream.reset(ErrorCodes.FLOW_CONTROL_ERROR)

    def _stream_ended(self, event: StreamEnded) -> None:
        self._cancel_ending(event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.receive_end()

    def _stream_reset(self, event: StreamReset) -> None:
        if not event.remote_reset:  # by h2, for a peer that broke the rules
            self._guard.ignore(event.stream_id)
            self._guard.count_reset()
        self._cancel_ending(event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.lose(ConnectionResetError("the peer reset the stream"))

    def settings_changed(self, event: RemoteSettingsChanged) -> None:
        """The peer's settings have come; its windows may have changed (RFC 9113 §6.9.2)."""
        changed = event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE)
        if changed is None:
            return
        for stream in self.streams.values():
            stream.room += changed.new_value - (changed.original_value or 0)
            if stream.room > LARGEST_WINDOW:
                raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, "too large a window")

    def going_away(self, goaway: GoAway) -> None:
        """The peer takes no new streams."""
        logger.debug("the peer goes away: %r", goaway)
        for number in [n for n in self.streams if n % 2 == self.h2.config.client_side]:
            if number > goaway.last_stream:
                self.streams[number].lose(ConnectionResetError("the peer goes away"))

    # --- the end ------------------------------------------------------------------------------

    def reset(self, number: int, code: ErrorCodes) -> None:
        if not self._over:
            with suppress(ProtocolError):
                self.h2.reset_stream(number, code)
                self._guard.ignore(number)
                self._flush_soon()

    def _expect_end(self, number: int) -> None:
        """Our side of a stream has ended; the peer has some seconds to end its own."""

        def reset() -> None:
            self._ending.pop(number, None)
            if number not in self.streams:  # else its protocol still decides
                self.reset(number, ErrorCodes.NO_ERROR)

        self._ending[number] = self._timers.call_later(_LINGER, reset)

    def _cancel_ending(self, number: int) -> None:
        timer = self._ending.pop(number, None)
        if timer is not None:
            timer.cancel()

    def forget(self, stream: StreamTransport) -> None:
        number = stream.stream_id
        self.streams.pop(number, None)
        self._sending.pop(number, None)
        self.blocked.discard(stream)

    def send_goaway(self) -> None:
        """Tell the peer to open no more streams; those there are go on (RFC 9113 §6.8)."""
        if not self._over:
            # Not h2's `close_connection`: nothing could be sent on any stream after it.
            last = self.h2.highest_inbound_stream_id
            self._write(GoAwayFrame(0, last_stream_id=last, error_code=ErrorCodes.NO_ERROR))

    def fail(self, code: ErrorCodes, why: str) -> None:
        """End the connection with an error code; ``why`` is logged, not sent."""
        if not self._over:
            logger.debug("connection failed with %s: %s", ErrorCodes(code).name, why)
            self.close(code)

    def close(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """End the connection and all its streams."""
        transport = self._transport
        if self._over or transport is None:
            return
        self.h2.close_connection(code)
        self._flush()
        self._end(ConnectionResetError(f"the connection ended with {code}") if code else None)
        if code and transport.can_write_eof():
            # Closing would reset the connection when more has come, and GOAWAY would be lost.
            half_close(transport)
            transport.resume_reading()
        else:
            close_in_time(transport)
        self._timers.call_later(_LINGER, transport.abort)

    def find_reset(self) -> None:
        """Notice that the peer has reset the connection; as `Link.look`, for all streams."""
        if self._transport is not None:
            abort_if_reset(self._transport)

    def abort(self) -> None:
        """Drop the connection and all its streams at once."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, error: Exception | None) -> None:
        """Nothing more is handled or sent; whatever was kept for it is freed at once."""
        if self._over:
            return
        self._over = True
        for stream in list(self.streams.values()):
            stream.lose(error)
        for timer in (*self._ending.values(), self._rest):
            if timer is not None:
                timer.cancel()
        self._ending.clear()
        self._rest = None
        vars(self.h2).clear()  # its parts know each other: the garbage collector would come late
        self.h2 = _CLOSED
        self._out.clear()
        self._guard.forget()
