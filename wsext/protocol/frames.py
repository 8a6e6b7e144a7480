"""What the hot path makes most of: frames and messages. Runs as it is, and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from wsext.protocol.codes import RSV, Opcode

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Data", "Event", "Frame", "Message", "check_frame", "make_frame", "make_message"]

#: What an application may send: ``str`` is a text message, anything else a binary one.
Data: TypeAlias = "str | bytes | bytearray | memoryview"

#: What comes out of a connection: a whole message, or a frame.
Event: TypeAlias = "Message | Frame"

_NO_META: Mapping[str, Any] = {}
_SAME: Any = object()  # an argument that was not given


def check_frame(opcode: int, payload: Any, rsv: int) -> None:
    """Refuse what would come out as another frame on the wire.

    Never with a `ValueError`: while decoding, that would say that the peer's data is wrong.
    """
    if not 0 <= opcode <= 15:
        raise TypeError(f"a frame's opcode is 0 to 15, not {opcode!r}")
    if rsv & ~0x70:
        raise TypeError(f"a frame's rsv is a sum of RSV.RSV1, RSV2 and RSV3, not {rsv!r}")
    if type(payload) is bytes or isinstance(payload, bytearray):
        return
    if not isinstance(payload, memoryview):
        hint = "; for a text write text.encode()" if isinstance(payload, str) else ""
        raise TypeError(f"a frame's payload is bytes-like, not {type(payload).__name__}{hint}")
    if payload.itemsize != 1 or payload.ndim != 1 or not payload.contiguous:
        raise TypeError("a frame's payload is a memoryview of single bytes, one behind the other")


@cython.no_gc  # payloads are bytes; hints and meta hold plain values
@cython.freelist(64)
@cython.final
@cython.cclass
class Frame:
    """One frame: what codecs and interceptors see.

    Treat a frame as immutable: make another one with `replace`.

    Attributes:
        opcode: 0 to 15; see `Opcode`.
        payload: The payload, unmasked. Codecs may put any bytes-like object here.
        fin: Whether this is the last frame of its message.
        rsv: The reserved bits that are set, as a number; compare with `RSV`.
        hints: What the sender said about this message (``send(data, hints=...)``); never sent.
        meta: Per-message metadata for extensions that carry some (``send(data, meta=...)``);
            on an incoming frame what such an extension found.

    Raises:
        TypeError: If the payload is not bytes-like, the opcode is none of 0 to 15, or ``rsv`` has
            other bits than the reserved ones.
    """

    __slots__ = ("fin", "hints", "meta", "opcode", "payload", "rsv")

    def __init__(
        self,
        opcode: int,
        payload: bytes | bytearray | memoryview = b"",
        fin: bool = True,
        rsv: int = 0,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        check_frame(opcode, payload, rsv)
        self.opcode = opcode
        self.payload = payload
        self.fin = fin
        self.rsv = rsv
        self.hints = hints
        self.meta = meta

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)

    @property
    def is_control(self) -> bool:
        """Whether the opcode is a control opcode: 8 to 15 (RFC 6455 §5.5)."""
        return self.opcode >= 8

    def replace(
        self,
        *,
        opcode: int = _SAME,
        payload: bytes | bytearray | memoryview = _SAME,
        fin: bool = _SAME,
        rsv: int = _SAME,
        hints: Mapping[str, Any] | None = _SAME,
        meta: Mapping[str, Any] | None = _SAME,
    ) -> Frame:
        """A copy of this frame with some attributes changed.

        Raises:
            TypeError: As the constructor.
        """
        frame = make_frame(
            self.opcode if opcode is _SAME else opcode,
            self.payload if payload is _SAME else payload,
            self.fin if fin is _SAME else fin,
            self.rsv if rsv is _SAME else rsv,
        )
        check_frame(frame.opcode, frame.payload, frame.rsv)
        frame.hints = self.hints if hints is _SAME else hints
        frame.meta = self.meta if meta is _SAME else meta
        return frame

    def __eq__(self, other: object) -> bool:  # a payload may be a bytearray, so there is no hash
        if not isinstance(other, Frame):
            return NotImplemented
        return (
            self.opcode == other.opcode
            and self.fin == other.fin
            and self.rsv == other.rsv
            and self.payload == other.payload
        )

    def __repr__(self) -> str:
        try:
            name = Opcode(self.opcode).name
        except ValueError:
            name = f"0x{self.opcode:X}"
        bits = RSV(self.rsv).names()
        parts = [name, "FIN" if self.fin else "", bits, f"{len(self.payload)} bytes"]
        return f"<Frame {' '.join(part for part in parts if part)}>"


@cython.no_gc
@cython.freelist(64)
@cython.final
@cython.cclass
class Message:
    """One received message.

    Attributes:
        data: ``str`` for a text message, ``bytes`` for a binary one.
        size: Bytes that the message had, as UTF-8 for text.
        meta: Metadata that an extension carried beside the message; empty without one.
        fin: ``False`` for a fragment, which only streaming receive sees.
        first: Whether a streamed fragment starts its message.
    """

    __slots__ = ("data", "fin", "first", "meta", "size")

    def __init__(
        self,
        data: str | bytes,
        size: int,
        meta: Mapping[str, Any] | None = None,
        fin: bool = True,
        first: bool = True,
    ) -> None:
        self.data = data
        self.size = size
        self.meta: Mapping[str, Any] = meta if meta is not None else _NO_META
        self.fin = fin
        self.first = first

    @property
    def is_text(self) -> bool:
        """Whether this is a text message."""
        return type(self.data) is str

    @property
    def type(self) -> str:
        """``"text"`` or ``"binary"``."""
        return "text" if self.is_text else "binary"

    def __repr__(self) -> str:
        return f"<Message {self.type} {self.size} bytes>"


# Compiled, these two make an object without a call of the type; that is what they are for.


def make_frame(opcode: int, payload: bytes | bytearray | memoryview, fin: bool, rsv: int) -> Frame:
    """A frame without hints and metadata."""
    frame = Frame.__new__(Frame)
    frame.opcode = opcode
    frame.payload = payload
    frame.fin = fin
    frame.rsv = rsv
    if not cython.compiled:  # where it is, they are None from the start
        frame.hints = None
        frame.meta = None
    return frame


def make_message(data: str | bytes, size: int, meta: Mapping[str, Any] | None) -> Message:
    """A whole message."""
    message = Message.__new__(Message)
    message.data = data
    message.size = size
    message.meta = meta if meta is not None else _NO_META
    message.fin = True
    message.first = True
    return message
