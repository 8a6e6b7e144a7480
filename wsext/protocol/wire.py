"""Frames to bytes and bytes to frames (RFC 6455 §5).

This is the only place that reads or writes a frame header. It is shaped for compilation: integers
are compared, and nothing is sliced that is not kept.
"""

from __future__ import annotations

import os
from typing import Any

from wsext.errors import RemoteProtocolError
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Data, Frame, Message, make_frame, make_message
from wsext.protocol.leaf import copy, copy_text, mask, move, text_view, unmask, unmask_text

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = [
    "FrameParser",
    "MaskSource",
    "Spare",
    "apply_mask",
    "frame_header",
    "payload_size",
    "to_payload",
    "write_apart",
]

# A payload of at most this many bytes is parsed again when the rest of it has come.
_SMALL = 1024
# What is kept between large messages, and what a large payload starts with: a peer that sends no
# more than a header must not take much.
_KEEP_AT_MOST = 1 << 22
_START_WITH = 1 << 11
# Once as much has come, and as much is missing, the rest is read to where it belongs; a read of its
# own costs more than copying less.
_READ_IN_PLACE = 1 << 14
_READ_AT_MOST = 1 << 18


def apply_mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """XOR ``data`` with the four bytes of ``key``, over and over (RFC 6455 §5.3)."""
    return mask(data if type(data) is bytes else bytes(data), key)


@cython.final
@cython.cclass
class MaskSource:
    """Fresh masking keys from the system's strong source (RFC 6455 §10.3).

    One system call serves a thousand frames.
    """

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        """Four bytes that nobody can predict."""
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(4096)
            at = 0
        self._at = at + 4
        return copy(self._pool, at, 4)


def frame_header(opcode: int, size: int, fin: bool, rsv: int, masked: bool) -> bytes:
    """The header of a frame without its masking key, in the minimal length form."""
    first = (0x80 if fin else 0) | rsv | opcode
    mask_bit = 0x80 if masked else 0
    if size < 126:
        return bytes((first, mask_bit | size))
    if size < 65536:
        return bytes((first, mask_bit | 126, size >> 8, size & 0xFF))
    return bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")


def write_apart(
    out: list[bytes | memoryview], first: int, data: str | bytes | bytearray | memoryview
) -> int:
    """Append an unmasked frame to ``out`` as two chunks; returns the payload's size.

    Args:
        out: Where it goes.
        first: The first byte: FIN, reserved bits, opcode.
        data: The payload. What is neither ``str`` nor ``bytes`` is copied.
    """
    if isinstance(data, str):
        # Where the text has no other form than UTF-8, its bytes need no copy.
        payload: bytes | memoryview = text_view(data) if data.isascii() else data.encode()
    else:
        payload = data if type(data) is bytes else bytes(data)
    size = len(payload)
    out.append(frame_header(first & 0x0F, size, first >= 0x80, first & 0x70, False))
    out.append(payload)
    return size


def payload_size(whole: int, masked: bool) -> int:
    """The payload's part of a frame of ``whole`` bytes."""
    if masked:
        whole -= 4
    if whole < 128:
        return whole - 2
    return whole - 4 if whole < 65540 else whole - 10


def to_payload(data: Data) -> tuple[int, bytes]:
    """The opcode and the payload of a whole message.

    Raises:
        TypeError: If the data is neither ``str`` nor bytes-like.
    """
    if isinstance(data, str):
        return 1, data.encode("utf-8")
    if type(data) is bytes:
        return 2, data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return 2, bytes(data)  # the caller may change its buffer before the transport has taken it
    raise TypeError(f"a message is str or bytes-like, not {type(data).__name__}")


@cython.final
@cython.cclass
class Spare:
    """Buffers for large payloads that are handed from one to the next.

    A fresh megabyte costs more in page faults than in copying.
    """

    __slots__ = ("_buffers", "_size")

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []
        self._size = 0

    def take(self, size: int) -> bytearray:
        """A buffer of at least ``size`` bytes."""
        try:
            buffer = self._buffers.pop()
        except IndexError:
            return bytearray(size)
        self._size -= len(buffer)
        return buffer if len(buffer) >= size else bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Keep a buffer for the next payload, unless there is enough."""
        size = len(buffer)
        if self._size + size <= _KEEP_AT_MOST:
            self._size += size
            self._buffers.append(buffer)


_spare = Spare()


def _protocol_error(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, reason)


@cython.final
@cython.cclass
class FrameParser:
    """Turns a byte stream into frames, unmasked, with every rule of RFC 6455 §5.2 checked.

    Give it bytes with `put`, then take what they complete with `next`, one frame at a time. Whoever
    stops earlier calls `keep`: what has not been parsed costs no more than its bytes. Memory grows
    with what has arrived, never with a length that a header declares.

    Args:
        masked: Whether the peer has to mask: ``True`` when the peer is a client.
        max_size: The most payload bytes that one frame may have.
        rsv_first: The reserved bits that a message's first frame may carry.
        rsv_rest: Those that a continuation frame may carry.
        rsv_control: Those that a control frame may carry.
        opcodes: Reserved opcodes that an agreed extension claims.

    Attributes:
        direct: Hand out whole messages in one frame as a `Message`, their text decoded.
    """

    __slots__ = (
        "_at",
        "_body",
        "_data",
        "_end",
        "_first",
        "_halfway",
        "_have",
        "_masked",
        "_max_size",
        "_need",
        "_opcodes",
        "_rsv_control",
        "_rsv_first",
        "_rsv_rest",
        "_starved",
        "direct",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_size: int,
        rsv_first: int = 0,
        rsv_rest: int = 0,
        rsv_control: int = 0,
        opcodes: frozenset[int] = frozenset(),
    ) -> None:
        self._masked = masked
        self._max_size = max_size
        self._rsv_first = rsv_first
        self._rsv_rest = rsv_rest
        self._rsv_control = rsv_control
        self._opcodes = opcodes
        # What is parsed next: the bytes from _at to _end of the last `put`, or of a copy.
        self._data: bytes | bytearray = b""
        self._at = 0
        self._end = 0
        self._starved = False  # whether they are the start of a frame whose rest has not come
        # The start of a larger payload, as it came; when masked, the key stands before it.
        self._body: bytearray | None = None
        self._have = 0
        self._need = 0
        self._first = 0
        self._halfway = False  # whether a message in several frames is under way
        self.direct = False

    def put(self, data: bytes | bytearray, size: int = -1) -> None:
        """Take bytes; they count after what has not been parsed yet.

        Args:
            data: What came. It has to stay as it is until `next` has given ``None`` or `keep` was
                called.
            size: How many bytes of ``data`` count; by default all.
        """
        end = len(data) if size < 0 else size
        at = 0
        if self._at < self._end:
            data = bytes(self._data[self._at : self._end]) + data[:end]
            end = len(data)
        elif self._body is not None:
            at = self._fill(data, end)
        self._data = data
        self._at = at
        self._end = end
        self._starved = False

    def next(self) -> Message | Frame | None:
        """The next frame, or message if `direct`; ``None`` if its bytes have not all come.

        Raises:
            RemoteProtocolError: The peer broke a rule; the parser must not be used again.
        """
        if self._body is not None:
            return self._end_body() if self._have == self._need else None
        at = self._at
        end = self._end
        if end - at < 2 or self._starved:
            if at < end:
                self._starve()
            return None
        data = self._data
        masked = self._masked
        view = data  # a pointer, when compiled
        first = view[at]
        second = view[at + 1]
        length = second & 0x7F
        # RFC 6455 §5.2: everything that these two bytes can break, in one test for the
        # common case (a final or first data frame without reserved bits).
        if first & 0x70 or first & 0x0F > 2 or (second >= 0x80) != masked:
            self._check_head(first, second)
        body_at = at + 2
        if length == 126:
            body_at = at + 4
            if end < body_at:
                self._starve()
                return None
            length = view[at + 2] << 8 | view[at + 3]
            if length < 126:
                raise _protocol_error("payload length is not in its minimal form")
        elif length == 127:
            body_at = at + 10
            if end < body_at:
                self._starve()
                return None
            if view[at + 2] >= 0x80:
                raise _protocol_error("payload length has its highest bit set")
            length = int.from_bytes(data[at + 2 : body_at], "big")
            if length < 65536:
                raise _protocol_error("payload length is not in its minimal form")
        if length > self._max_size:
            raise RemoteProtocolError(
                1009, f"frame of {length} bytes; the limit is {self._max_size}"
            )
        if masked:
            body_at += 4
            if end < body_at:
                self._starve()
                return None
        if end - body_at < length:
            if length <= _SMALL:
                self._starve()
                return None
            self._begin(data, body_at, end, first, length)
            self._at = self._end = 0
            self._data = b""
            return None
        self._at = body_at + length
        return self._item(view, body_at, length, body_at - 4, first)

    def keep(self) -> None:
        """Copy what has not been parsed, since the buffer of the last `put` is used again."""
        if self._at < self._end:
            self._data = bytes(self._data[self._at : self._end])
            self._end -= self._at
        else:
            self._data = b""
            self._end = 0
        self._at = 0

    def _starve(self) -> None:
        """Keep the start of a frame until more comes."""
        self._starved = True
        self.keep()

    @property
    def undecoded_bytes(self) -> int:
        """Bytes that have come and were not parsed yet."""
        return self._end - self._at

    @property
    def partial_bytes(self) -> int:
        """Bytes that are set aside for the payload that is under way."""
        # A spare buffer may have room for more.
        return 0 if self._body is None else min(len(self._body), self._need)

    def clear(self) -> None:
        """Throw away what has not been parsed."""
        self._data = b""
        self._at = self._end = self._have = self._need = 0
        self._body = None

    def feed(self, data: bytes | bytearray, out: list[Any], size: int = -1) -> None:
        """`put`, and append everything that it completes to ``out``.

        Raises:
            RemoteProtocolError: As `next`. The frames before the fault are in ``out``.
        """
        self.put(data, size)
        item = self.next()
        while item is not None:
            out.append(item)
            item = self.next()

    def only(self, data: bytes | bytearray, size: int = -1) -> Any:
        """What `put` and `next` would give if ``data`` is one whole message in one frame.

        Otherwise ``None``, and ``data`` is for `put`. Most reads are one message.

        Raises:
            RemoteProtocolError: As `next`.
        """
        end = len(data) if size < 0 else size
        if end < 4 or self._halfway or self._at < self._end or self._body is not None:
            return None
        masked = self._masked
        view = data  # a pointer, when compiled
        first = view[0]
        second = view[1]
        length = second & 0x7F
        at = 6 if masked else 2
        if length > 125:
            at += 2
            length = view[2] << 8 | view[3] if length == 126 else 0
            if length < 126:  # too small for its form, or too large for this one
                return None
        if at + length != end or length > self._max_size or (second >= 0x80) != masked:
            return None
        if (first & 0x8F != 0x81 and first & 0x8F != 0x82) or first & 0x70 & ~self._rsv_first:
            return None
        return self._item(view, at, length, at - 4, first)

    def _begin(
        self, data: bytes | bytearray, body_at: int, end: int, first: int, length: int
    ) -> None:
        """Keep the start of a payload whose rest has not come yet."""
        start = body_at - 4 if self._masked else body_at
        have = end - start
        need = length + body_at - start
        self._first = first
        self._have = have
        self._need = need
        self._body = body = _spare.take(min(need, max(2 * have, _START_WITH)))
        move(body, 0, data, start, have)

    def room(self) -> memoryview | None:
        """Where to read the rest of a large payload to, or ``None``: then what comes is for `put`.

        After a read `advance` has to be called, before anything else.
        """
        body = self._body
        have = self._have
        if body is None or have < _READ_IN_PLACE or self._need - have < _READ_IN_PLACE:
            return None
        if len(body) - have < _READ_IN_PLACE:
            body = self._grow(2 * len(body))
        return memoryview(body)[have : min(self._need, have + _READ_AT_MOST)]

    def advance(self, size: int) -> None:
        """``size`` bytes were read to where `room` said."""
        self._have += size

    def _grow(self, size: int) -> bytearray:
        """A larger buffer for the payload that is under way."""
        body = self._body
        assert body is not None
        larger = bytearray(min(self._need, size))
        move(larger, 0, body, 0, self._have)
        self._body = larger
        return larger

    def _fill(self, data: bytes | bytearray, end: int) -> int:
        """Add to the payload that is under way; returns how many bytes of ``data`` that took."""
        body = self._body
        assert body is not None
        have = self._have
        take = min(self._need - have, end)
        if have + take > len(body):
            body = self._grow(2 * (have + take))
        move(body, have, data, 0, take)
        self._have = have + take
        return take

    def _end_body(self) -> Message | Frame:
        body = self._body
        assert body is not None
        self._body = None
        start = 4 if self._masked else 0
        item = self._item(body, start, self._need - start, 0, self._first)
        _spare.give(body)
        return item

    def _item(
        self, data: bytes | bytearray, at: int, size: int, key_at: int, first: int
    ) -> Message | Frame:
        """What is handed out for a whole payload, which stands in ``data``."""
        opcode = first & 0x0F
        if self.direct and not self._halfway and (first == 0x81 or first == 0x82):
            if opcode == 1:
                whole: str | bytes | None = (
                    unmask_text(data, at, size, key_at)
                    if self._masked
                    else copy_text(data, at, size)
                )
                if whole is None:
                    raise RemoteProtocolError(1007, "text is not valid UTF-8")
            else:
                whole = unmask(data, at, size, key_at) if self._masked else copy(data, at, size)
            return make_message(whole, size, None)
        if opcode < 8:
            self._halfway = first < 0x80
        payload = unmask(data, at, size, key_at) if self._masked else copy(data, at, size)
        return make_frame(opcode, payload, first >= 0x80, first & 0x70)

    def _check_head(self, first: int, second: int) -> None:
        """Raise for what is wrong with a header's first two bytes, if anything is."""
        opcode = first & 0x0F
        rsv = first & 0x70
        if opcode >= 8:
            if opcode > 10 and opcode not in self._opcodes:
                raise _protocol_error(f"reserved opcode {opcode}")
            if first < 0x80:
                raise _protocol_error("fragmented control frame")
            if second & 0x7F > 125:
                raise _protocol_error("control frame longer than 125 bytes")
            allowed = self._rsv_control
        else:
            if opcode > 2 and opcode not in self._opcodes:
                raise _protocol_error(f"reserved opcode {opcode}")
            allowed = self._rsv_first if opcode else self._rsv_rest
        if rsv & ~allowed:
            raise _protocol_error(f"{RSV(rsv & ~allowed).names()} set, claimed by no extension")
        if (second >= 0x80) != self._masked:
            raise _protocol_error(
                "frame from a client is not masked"
                if self._masked
                else "frame from a server is masked"
            )
