"""DATA and WINDOW_UPDATE frames, which a connection handles without the h2 library.

h2 takes longer for a DATA frame than all else that is done for the message in it. What a tunnel
carries and its windows (RFC 9113 §5.2) need no library: they are numbers that are added up. h2 has
everything else: headers, settings, the states of streams and their ends, and the bodies of ordinary
requests and responses, whose length it compares with ``Content-Length``.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

__all__ = ["LARGEST_WINDOW", "Data", "Parts", "data_frame", "sort_frames"]

_DATA, _WINDOW_UPDATE = 0, 8
_END_STREAM, _PADDED = 0x1, 0x8
#: A frame's header: its length in two parts, its type and flags, its stream (RFC 9113 §4.1).
_HEAD = Struct(">HBBBI")
_HEADER = _HEAD.size
_NUMBER = 0x7FFFFFFF  # without the bit that is reserved

#: Bytes that a window may have at most (RFC 9113 §6.9.1).
LARGEST_WINDOW = (1 << 31) - 1


class Data(NamedTuple):
    """What a DATA frame carries.

    Attributes:
        stream: The stream's number.
        payload: The bytes without padding.
        taken: Bytes of the windows, with padding.
    """

    stream: int
    payload: bytes
    taken: int


class Parts(NamedTuple):
    """Some frames, sorted.

    Attributes:
        data: DATA of tunnels.
        update: The number of a stream, or 0 for the connection, and bytes for its window.
        rest: What h2 has to handle after them.
    """

    data: list[Data]
    update: tuple[int, int] | None
    rest: bytes


def sort_frames(frames: bytes, is_tunnel: Callable[[int], bool]) -> Parts:
    """Take DATA of tunnels and one WINDOW_UPDATE from the beginning of some whole frames.

    What breaks the rules of these frames is left in the rest, for h2 to complain about. So is the
    end of a stream.

    Args:
        frames: As the guard gives them: DATA, and then at most one other frame.
        is_tunnel: Whether a stream is a tunnel, and the peer may send DATA on it.
    """
    data: list[Data] = []
    at = 0
    while len(frames) - at >= _HEADER:
        high, low, kind, flags, number = _HEAD.unpack_from(frames, at)
        number &= _NUMBER
        length = high << 8 | low
        start, end = at + _HEADER, at + _HEADER + length
        if kind == _WINDOW_UPDATE and length == 4:
            more = int.from_bytes(frames[start:end], "big") & _NUMBER
            if more:
                return Parts(data, (number, more), frames[end:])
        if kind != _DATA or not length or not is_tunnel(number):
            break
        stop = end
        if flags & _PADDED:
            start, stop = start + 1, end - frames[start]
            if stop < start:
                break
        data.append(Data(number, frames[start:stop], length))
        at = end
        if flags & _END_STREAM:
            return Parts(data, None, data_frame(number, b"", _END_STREAM) + frames[at:])
    return Parts(data, None, frames[at:])


def data_frame(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A DATA frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, _DATA, flags, stream) + payload
