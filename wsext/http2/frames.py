"""What has to be known of frames before the h2 library handles them.

h2 takes some 30 microseconds for a frame, whatever is in it. It answers PING and SETTINGS by
itself, and takes any GOAWAY for the end of everything. So frames are counted here first, and h2
sees few of them:

- DATA frames of open streams are joined, so that tiny ones cost as little as large ones;
- what is still on its way to streams that this side has reset, and frames and settings of unknown
  types, are dropped;
- GOAWAY is taken out of its sight.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from struct import Struct

from h2.errors import ErrorCodes

from wsext.http2 import PREFACE
from wsext.runtime.rates import Bucket

__all__ = ["LONGEST_FRAME", "FrameGuard", "GoAway", "Limits", "Violation"]

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    0,
    1,
    3,
    4,
    7,
    8,
    9,
)
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_NUMBER = 0x7FFFFFFF  # without the bit that is reserved
#: A frame's header: its length in two parts, its type and flags, its stream (RFC 9113 §4.1).
_HEAD = Struct(">HBBBI")
_HEADER = _HEAD.size
_SETTING = Struct(">HI")
_GOAWAY_START = Struct(">II")
#: Bytes of a frame's payload that are welcome (SETTINGS_MAX_FRAME_SIZE).
LONGEST_FRAME = 1 << 16

#: Seconds' worth of control frames or resets that may come at once.
_BURST = 10.0
#: Seconds' worth of all frames that may come at once.
_FRAME_BURST = 1.0
#: What it costs to hand on what was joined of a stream, a frame that h2 handles, and a request,
#: beside a DATA frame that is only joined.
_DELIVERED, _HANDLED, _REQUEST = 5, 25, 50
#: Bytes of the DATA of one stream that are joined: a session takes no more before it may pause.
_LONGEST_JOINED = 1 << 14
#: DATA frames that are joined before what was joined is handled.
_JOINED_AT_MOST = 500

#: Window updates that a peer may send for each DATA frame that it gets: a connection's, a stream's.
_UPDATES_PER_DATA = 2

#: The settings that h2 knows (RFC 9113 §6.5.2, RFC 8441 §3). It would keep all others, too.
_KNOWN_SETTINGS = frozenset({1, 2, 3, 4, 5, 6, 8})
_HEADER_TABLE_SIZE = 1
#: Bytes that the table of header fields for a peer takes, however large the peer allows it to be.
_LARGEST_TABLE = 4096
#: Bytes of a SETTINGS frame that count as one control frame.
_SETTINGS_SIZE = 60
#: Streams that this side has reset and that are remembered.
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do on one connection.

    Attributes:
        streams: Streams at the same time.
        window: Bytes per stream that may be sent before they are read.
        header_size: Bytes of a request's or response's headers.
        frame_rate: Frames per second; a frame that cannot be joined with others counts 25 times, a
            request 50 times, and what is joined of one stream 5 times more. What is beyond is read
            later.
        control_rate: PING, SETTINGS, PRIORITY, CONTINUATION, GOAWAY, trailers, unknown and empty
            DATA frames per second, and window updates that no data asks for; ten times that at
            once.
        reset_rate: Streams that may be reset, and frames on streams that are over, per second; ten
            times that at once.
    """

    streams: int = 100
    window: int = 1 << 17
    header_size: int = 16384
    frame_rate: float = 20_000
    control_rate: float = 100
    reset_rate: float = 10


class Violation(Exception):
    """The peer did too much of something, so the connection ends with GOAWAY.

    Attributes:
        code: What it is told.
        why: What there is too much of.
    """

    def __init__(self, code: ErrorCodes, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why


def _flood(of: str) -> Violation:
    return Violation(ErrorCodes.ENHANCE_YOUR_CALM, f"too many {of}")


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer takes no new streams (RFC 9113 §6.8); streams up to ``last_stream`` may go on."""

    last_stream: int
    error_code: int


class FrameGuard:
    """Counts what a peer sends, and hands it on to h2 in parts.

    Args:
        limits: What is too much.
        clock: Seconds on a clock that never goes back.
        is_open: Whether the peer may send DATA on a stream.
        after_preface: Whether the peer is a client, whose frames follow the connection preface.

    Attributes:
        goaways: Those that have come and were not looked at yet.
        dropped: Bytes of DATA that h2 has not seen, and that the connection's window gets back.
        rest: Seconds for which nothing more should be read, since there were too many frames.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        is_open: Callable[[int], bool],
        *,
        after_preface: bool,
    ) -> None:
        self._clock = clock
        self._is_open = is_open
        self._frames = Bucket(limits.frame_rate, _FRAME_BURST, clock())
        self._control = Bucket(limits.control_rate, _BURST, clock())
        self._resets = Bucket(limits.reset_rate, _BURST, clock())
        self._header_size = limits.header_size * 2  # encoded; h2 limits what it is decoded to
        self._window = limits.window
        self._data = bytearray()
        self._preface = len(PREFACE) if after_preface else 0  # bytes of it to come
        self._begun = False  # whether the first frame has come
        self._block: int | None = None  # bytes of the header block that is being read
        self._last_request = 0
        self._updates = 100  # window updates that cost nothing
        self._ignored: dict[int, int] = {}  # streams that were reset, with what may still come
        self.goaways: list[GoAway] = []
        self.dropped = 0
        self.rest = 0.0

    def sent_data(self) -> None:
        """A DATA frame has been sent: the peer will want to open its windows again."""
        self._updates = min(self._updates + _UPDATES_PER_DATA, 1000)

    def ignore(self, stream: int) -> None:
        """This side has reset a stream: what is on its way there is of no use."""
        self._ignored[stream] = self._window
        if len(self._ignored) > _REMEMBERED:
            del self._ignored[next(iter(self._ignored))]

    def count_reset(self) -> None:
        """A stream has been reset because of the peer.

        Raises:
            Violation: If there have been too many.
        """
        if self._resets.take(1, self._clock()):
            raise _flood("resets")

    @property
    def in_headers(self) -> bool:
        """Whether a header block has begun, so that nothing but the rest of it may follow."""
        return self._block is not None

    def add(self, data: bytes) -> None:
        """Take what the peer has sent; `next` hands it on."""
        self._data += data

    def forget(self) -> None:
        """Free what is kept: the connection has ended."""
        self._data = bytearray()
        self._ignored.clear()
        self.goaways.clear()

    def next(self) -> bytes | None:
        """What h2 may have next; ``None`` when no whole frame is here.

        That is DATA of open streams, joined, and then at most one other frame. So whatever changes
        a stream has been handled before the frames after it are looked at.

        Raises:
            Violation: If there is too much of something.
        """
        data, size = self._data, len(self._data)
        if self._preface and size:
            preface = bytes(data[: self._preface])
            del data[: self._preface]
            self._preface -= len(preface)
            return preface
        joined: dict[int, bytearray] = {}
        other = b""
        at = count = 0
        while size - at >= _HEADER and count < _JOINED_AT_MOST:
            high, low, kind, flags, number = _HEAD.unpack_from(data, at)
            number &= _NUMBER
            length = high << 8 | low
            if length > LONGEST_FRAME:  # h2 would wait for all of it before it says so
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = at + _HEADER + length
            if end > size:
                break
            count += 1
            if kind or flags or not length or not self._joins(number, joined):
                other = self._look(kind, flags, number, bytes(data[at:end]))
                at = end
                break
            to = joined.setdefault(number, bytearray())
            if to and len(to) + length > _LONGEST_JOINED:
                break
            to += data[at + _HEADER : end]
            at = end
        if not at:
            return None
        del data[:at]
        cost = count + _DELIVERED * len(joined) + _HANDLED * bool(other)
        self.rest = self._frames.take(cost, self._clock())
        frames = [_frame(_DATA, number, payload) for number, payload in joined.items()]
        return b"".join([*frames, other])

    def _joins(self, number: int, joined: Container[int]) -> bool:
        return self._block is None and (number in joined or self._is_open(number))

    def _look(self, kind: int, flags: int, number: int, frame: bytes) -> bytes:
        """Count a frame; what h2 may have of it."""
        length = len(frame) - _HEADER
        if not self._begun and (kind != _SETTINGS or flags & _ACK):  # RFC 9113 §3.4
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "the first frame is no SETTINGS frame")
        self._begun = True
        if self._block is not None or kind in (_HEADERS, _CONTINUATION):
            self._count_headers(kind, flags, number, length)
        elif kind == _DATA:
            return self._look_at_data(flags, number, frame)
        elif kind == _RST_STREAM:
            self.count_reset()
        elif kind == _SETTINGS:
            self._count_control(1 + length // _SETTINGS_SIZE)
            if flags & _ACK and length:
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, "more than an acknowledgement")
            return frame if length % 6 else _known_settings(flags, number, frame)
        elif kind == _WINDOW_UPDATE and self._updates:
            self._updates -= 1
        else:
            self._count_control()
            if kind == _GOAWAY and length >= 8 and not number:
                last_stream, error_code = _GOAWAY_START.unpack_from(frame, _HEADER)
                self.goaways.append(GoAway(last_stream & _NUMBER, error_code))
                return b""
            if kind > _CONTINUATION:
                return b""
        return frame

    def _look_at_data(self, flags: int, number: int, frame: bytes) -> bytes:
        length = len(frame) - _HEADER
        if number in self._ignored:
            self.dropped += length
            self._ignored[number] -= length
            if self._ignored[number] < 0:
                raise _flood("data on a stream that was reset")
            if not length:
                self._count_control()
            return b""
        if not self._is_open(number):
            self.count_reset()  # as h2 will do, if it does not end the connection
        elif not flags & _END_STREAM:
            padding = 1 + frame[_HEADER] if flags & _PADDED and length else 0
            if length <= padding:
                self._count_control()
        return frame

    def _count_headers(self, kind: int, flags: int, number: int, length: int) -> None:
        if kind == _HEADERS and number > self._last_request:
            self._last_request = number
            self._frames.take(_REQUEST, self._clock())
        elif kind == _CONTINUATION or self._is_open(number):  # or trailers
            self._count_control()
        else:
            self.count_reset()
        self._block = (self._block or 0) + length
        if self._block > self._header_size:
            raise _flood("headers")
        if flags & _END_HEADERS:
            self._block = None

    def _count_control(self, amount: float = 1) -> None:
        if self._control.take(amount, self._clock()):
            raise _flood("control frames")


def _frame(kind: int, number: int, payload: bytes | bytearray, flags: int = 0) -> bytes:
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, number) + payload


def _known_settings(flags: int, number: int, frame: bytes) -> bytes:
    """A SETTINGS frame with what h2 should know of it."""
    kept = b""
    for at in range(_HEADER, len(frame), 6):
        setting, value = _SETTING.unpack_from(frame, at)
        if setting in _KNOWN_SETTINGS:
            if setting == _HEADER_TABLE_SIZE:
                value = min(value, _LARGEST_TABLE)
            kept += _SETTING.pack(setting, value)
    return _frame(_SETTINGS, number, kept, flags)
