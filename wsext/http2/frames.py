"""What has to be known of frames before the h2 library handles them.

h2 answers PING and SETTINGS by itself, forgets what it has reset, and takes any GOAWAY for the end
of everything. So floods are counted here, frame by frame, and GOAWAY is taken out of its sight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from h2.errors import ErrorCodes

from wsext.http2 import PREFACE
from wsext.runtime.rates import Bucket

__all__ = ["LONGEST_FRAME", "FrameGuard", "GoAway", "Limits", "Violation"]

_DATA, _HEADERS, _RST_STREAM, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 7, 8, 9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_HEADER = 9
#: Bytes of a frame's payload that are welcome (SETTINGS_MAX_FRAME_SIZE).
LONGEST_FRAME = 1 << 16

#: Seconds' worth of control frames or resets that may come at once.
_BURST = 10.0

#: Window updates that a peer may send for each DATA frame that it gets: a connection's, a stream's.
_UPDATES_PER_DATA = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do on one connection.

    Attributes:
        streams: Streams at the same time.
        window: Bytes per stream that may be sent before they are read.
        header_size: Bytes of a request's or response's headers.
        control_rate: PING, SETTINGS, PRIORITY, CONTINUATION, unknown and empty DATA frames per
            second, and window updates that no data asks for; ten times that at once.
        reset_rate: Streams that may be reset per second; ten times that at once.
    """

    streams: int = 100
    window: int = 1 << 17
    header_size: int = 16384
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
    """Reads the frame headers of what a peer sends.

    Args:
        limits: What is too much.
        clock: Seconds on a clock that never goes back.
        after_preface: Whether the peer is a client, whose frames follow the connection preface.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], *, after_preface: bool) -> None:
        self._clock = clock
        self._control = Bucket(limits.control_rate, _BURST, clock())
        self._resets = Bucket(limits.reset_rate, _BURST, clock())
        self._header_size = limits.header_size * 2  # encoded; h2 limits what it is decoded to
        self._block = 0  # bytes of a header block so far
        self._updates = 100  # window updates that cost nothing
        self._left = len(PREFACE) if after_preface else 0  # bytes of the current frame to come
        self._held = b""  # the first bytes of a frame header
        self._goaway: bytearray | None = None  # the payload of the one that is being read
        self.goaways: list[GoAway] = []

    def sent_data(self) -> None:
        """A DATA frame has been sent: the peer will want to open its windows again."""
        self._updates = min(self._updates + _UPDATES_PER_DATA, 1000)

    def count_reset(self) -> None:
        """A stream has been reset because of the peer.

        Raises:
            Violation: If there have been too many.
        """
        if self._resets.take(1, self._clock()):
            raise _flood("resets")

    def feed(self, data: bytes) -> bytes:
        """Count the frames in ``data``; the same bytes without GOAWAY frames (see ``goaways``).

        Raises:
            Violation: If there is too much of something.
        """
        data = self._held + data
        self._held = b""
        pieces: list[bytes] = []
        start = at = 0  # what is passed on next begins at `start`
        while True:
            step = min(self._left, len(data) - at)
            if self._goaway is not None:
                self._goaway += data[at : at + step]
                start = at + step
            at += step
            self._left -= step
            if self._left:
                break
            self._end_goaway()
            if len(data) - at < _HEADER:
                break
            self._left = int.from_bytes(data[at : at + 3], "big")
            if self._left > LONGEST_FRAME:  # h2 would wait for all of it before it says so
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {self._left} bytes")
            if data[at + 3] == _GOAWAY and self._left >= 8:
                pieces.append(data[start:at])
                start = at + _HEADER
                self._goaway = bytearray()
            else:
                self._count(data[at + 3], data[at + 4], self._left)
            at += _HEADER
        pieces.append(data[start:at])
        self._held = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end_goaway(self) -> None:
        if self._goaway is not None:
            last_stream = int.from_bytes(self._goaway[:4], "big") & 0x7FFFFFFF
            error_code = int.from_bytes(self._goaway[4:8], "big")
            self.goaways.append(GoAway(last_stream, error_code))
            self._goaway = None

    def _count(self, kind: int, flags: int, size: int) -> None:
        if kind == _DATA and (size or flags & _END_STREAM):
            return
        if kind in (_HEADERS, _CONTINUATION):
            self._block += size
            if self._block > self._header_size:
                raise _flood("headers")
            if flags & _END_HEADERS:
                self._block = 0
            if kind == _HEADERS:
                return  # open streams are counted, and so are those that are reset
        elif kind == _RST_STREAM:
            self.count_reset()
            return
        elif kind == _WINDOW_UPDATE and self._updates:
            self._updates -= 1
            return
        if self._control.take(1, self._clock()):
            raise _flood("control frames")
