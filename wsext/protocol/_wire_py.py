"""Frames to bytes and bytes to frames (RFC 6455 §5).

This is the only place that reads or writes a frame header. It is shaped for compilation: work is
done in batches (one `FrameParser.feed` per read), integers are compared, nothing is sliced that is
not kept. ``_wire_c.pxd`` has the types for the compiled twin, and `wsext.protocol.wire` chooses.
"""

from __future__ import annotations

import os

from wsext.errors import RemoteProtocolError
from wsext.protocol._mask_py import mask, unmask
from wsext.protocol.frames import RSV, Frame

__all__ = ["FrameParser", "MaskSource", "apply_mask", "frame_header"]


# From this size on a piece of a payload is kept without a copy.
_LARGE_PIECE = 16384


def apply_mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """XOR ``data`` with the four bytes of ``key``, over and over (RFC 6455 §5.3)."""
    return mask(data if type(data) is bytes else bytes(data), key)


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
        return self._pool[at : at + 4]


def frame_header(opcode: int, size: int, fin: bool, rsv: int, masked: bool) -> bytes:
    """The header of a frame without its masking key, in the minimal length form."""
    first = (0x80 if fin else 0) | rsv | opcode
    mask_bit = 0x80 if masked else 0
    if size < 126:
        return bytes((first, mask_bit | size))
    if size < 65536:
        return bytes((first, mask_bit | 126, size >> 8, size & 0xFF))
    return bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")


def _gather(parts: list[bytes | bytearray], data: bytes) -> None:
    """Keep a piece of a payload: large ones as they are, small ones in one buffer, lest a peer that
    sends single bytes makes an object of each."""
    last = parts[len(parts) - 1]  # the compiled twin knows no negative index
    if len(data) >= _LARGE_PIECE:
        parts.append(data)
    elif isinstance(last, bytearray):
        last += data
    else:
        parts.append(bytearray(data))


def _protocol_error(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, reason)


class FrameParser:
    """Turns a byte stream into frames, unmasked, with every rule of RFC 6455 §5.2 checked.

    Memory grows with what has arrived, never with a length that a header declares.

    Args:
        masked: Whether the peer has to mask: ``True`` when the peer is a client.
        max_size: The most payload bytes that one frame may have.
        rsv_first: The reserved bits that a message's first frame may carry.
        rsv_rest: Those that a continuation frame may carry.
        rsv_control: Those that a control frame may carry.
        opcodes: Reserved opcodes that an agreed extension claims.
    """

    __slots__ = (
        "_body",
        "_first",
        "_key",
        "_masked",
        "_max_size",
        "_missing",
        "_opcodes",
        "_rsv_control",
        "_rsv_first",
        "_rsv_rest",
        "_tail",
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
        self._tail = b""  # the start of a header, or of a frame small enough to parse again
        self._body: list[bytes | bytearray] | None = None  # the start of a larger payload
        self._missing = 0
        self._first = 0
        self._key = b""

    def feed(self, data: bytes, out: list[Frame]) -> None:
        """Parse ``data`` and append every frame that it completes to ``out``.

        Raises:
            RemoteProtocolError: The peer broke a rule. The frames before the fault are in ``out``;
                the parser must not be fed again.
        """
        at = 0
        body = self._body
        if body is not None:
            missing = self._missing
            if len(data) < missing:
                _gather(body, data)
                self._missing = missing - len(data)
                return
            body.append(data if len(data) == missing else data[:missing])
            at = missing
            self._body = None
            payload = b"".join(body)
            body.clear()
            if self._masked:
                payload = mask(payload, self._key)
            first = self._first
            out.append(Frame(first & 0x0F, payload, first >= 0x80, first & 0x70))
        elif self._tail:
            data = self._tail + data
            self._tail = b""

        end = len(data)
        masked = self._masked
        while end - at >= 2:
            first = data[at]
            second = data[at + 1]
            size = second & 0x7F
            opcode = first & 0x0F
            # RFC 6455 §5.2: everything that these two bytes can break, in one test for the
            # common case (a final or first data frame without reserved bits).
            if first & 0x70 or opcode > 2 or (second >= 0x80) != masked:
                self._check_head(first, second)
            body_at = at + 2
            if size == 126:
                body_at = at + 4
                if end < body_at:
                    break
                size = data[at + 2] << 8 | data[at + 3]
                if size < 126:
                    raise _protocol_error("payload length is not in its minimal form")
            elif size == 127:
                body_at = at + 10
                if end < body_at:
                    break
                if data[at + 2] >= 0x80:
                    raise _protocol_error("payload length has its highest bit set")
                size = int.from_bytes(data[at + 2 : body_at], "big")
                if size < 65536:
                    raise _protocol_error("payload length is not in its minimal form")
            if size > self._max_size:
                raise RemoteProtocolError(
                    1009, f"frame of {size} bytes; the limit is {self._max_size}"
                )
            key_at = body_at
            if masked:
                body_at += 4
                if end < body_at:
                    break
            if end - body_at < size:
                if size > 1024:
                    self._body = [data[body_at:]]
                    self._missing = size - (end - body_at)
                    self._first = first
                    self._key = data[key_at:body_at]
                    return
                break
            at = body_at + size
            if masked and size:  # noqa: SIM108
                payload = unmask(data, body_at, size, key_at)
            else:
                payload = data[body_at:at]
            out.append(Frame(opcode, payload, first >= 0x80, first & 0x70))
        if at < end:
            self._tail = data[at:]

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
