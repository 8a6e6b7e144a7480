"""What travels on a WebSocket: frames, messages, opcodes, reserved bits and close codes.

RFC 6455 §5.2 (base framing), §5.5 (control frames), §7.4 (status codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias

from wsext.errors import RemoteProtocolError

__all__ = ["RSV", "CloseCode", "CloseInfo", "Data", "Frame", "Message", "Opcode"]

Data: TypeAlias = "str | bytes | bytearray | memoryview"
"""What an application may send: ``str`` is a text message, anything else a binary one."""


class Opcode(IntEnum):
    """The opcodes that RFC 6455 §11.8 registers."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class RSV(IntFlag):
    """The three reserved bits (RFC 6455 §5.2), with their values in a frame's first byte."""

    NONE = 0
    RSV1 = 0x40
    RSV2 = 0x20
    RSV3 = 0x10

    def names(self) -> str:
        """The bits by name, for example ``RSV1+RSV3``; empty when none is set."""
        return "+".join(bit.name or "" for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3) if bit & self)


class CloseCode(IntEnum):
    """The close codes of RFC 6455 §7.4.1 and the IANA registry."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


#: Codes that describe an end but never travel (RFC 6455 §7.4.1).
LOCAL_ONLY_CODES = frozenset({1005, 1006, 1015})


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

    def replace(self, **changes: Any) -> Frame:
        """A copy of this frame with some attributes changed."""
        values = {name: getattr(self, name) for name in Frame.__slots__}
        values.update(changes)
        return Frame(**values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return (
            self.opcode == other.opcode
            and self.fin == other.fin
            and self.rsv == other.rsv
            and self.payload == other.payload
        )

    __hash__ = None  # type: ignore[assignment]  # a payload may be a bytearray

    def __repr__(self) -> str:
        try:
            name = Opcode(self.opcode).name
        except ValueError:
            name = f"0x{self.opcode:X}"
        bits = RSV(self.rsv).names()
        parts = [name, "FIN" if self.fin else "", bits, f"{len(self.payload)} bytes"]
        return f"<Frame {' '.join(part for part in parts if part)}>"


class Message:
    """One received message.

    Attributes:
        data: ``str`` for a text message, ``bytes`` for a binary one.
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
        return "text" if type(self.data) is str else "binary"

    def __repr__(self) -> str:
        return f"<Message {self.type} {self.size} bytes>"


_NO_META: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """How a session ended; always filled in when it has.

    Attributes:
        local: Code and reason that this side sent, or ``None``.
        remote: Code and reason that the peer sent, or ``None``; code 1005 when its Close frame
            was empty.
        clean: Whether both Close frames travelled (RFC 6455 §7.1.4).
        exception: What ended the session, when something did.
        local_first: Whether this side began the closing handshake.
    """

    local: tuple[int, str] | None = None
    remote: tuple[int, str] | None = None
    clean: bool = False
    exception: BaseException | None = None
    local_first: bool = False

    @property
    def code(self) -> int:
        """The close code that tells the end best: the first Close frame's, or 1006 without one."""
        return self._deciding[0]

    @property
    def reason(self) -> str:
        """The reason beside `code`; may be empty."""
        return self._deciding[1]

    @property
    def _deciding(self) -> tuple[int, str]:
        first, second = self.local, self.remote
        if not self.local_first:
            first, second = second, first
        return first or second or (CloseCode.ABNORMAL, "")

    @property
    def ok(self) -> bool:
        """Whether the session ended as planned: cleanly, with 1000, 1001 or an empty Close."""
        return self.clean and self.code in (1000, 1001, 1005)

    def __str__(self) -> str:
        parts = []
        for who, close in (("sent", self.local), ("received", self.remote)):
            if close:
                parts.append(f"{who} {close[0]}" + (f" ({close[1]})" if close[1] else ""))
        if not parts:
            parts.append("no close frame sent or received (1006)")
        if self.exception is not None:
            parts.append(f"{type(self.exception).__name__}: {self.exception}")
        return "; ".join(parts)


def is_sendable_code(code: int) -> bool:
    """Whether a close code may stand in a Close frame (RFC 6455 §7.4)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def parse_close(payload: bytes | bytearray | memoryview) -> tuple[int, str]:
    """Code and reason of a Close frame's payload; code 1005 when it is empty.

    Raises:
        RemoteProtocolError: With 1002 for a payload of one byte or a code that may not be sent,
            with 1007 for a reason that is not UTF-8 (RFC 6455 §5.5.1).
    """
    if not payload:
        return CloseCode.NO_STATUS, ""
    if len(payload) < 2:
        raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "close frame with one byte")
    code = payload[0] << 8 | payload[1]
    if not is_sendable_code(code):
        raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, f"invalid close code {code}")
    try:
        return code, str(bytes(payload[2:]), "utf-8")
    except UnicodeDecodeError:
        raise RemoteProtocolError(
            CloseCode.INVALID_DATA, "close reason is not valid UTF-8"
        ) from None


def build_close(code: int, reason: str) -> bytes:
    """The payload of a Close frame; the reason is cut to the 123 bytes that fit.

    Raises:
        ValueError: If the code may not be sent.
    """
    if code == CloseCode.NO_STATUS:
        return b""
    if not is_sendable_code(code):
        raise ValueError(
            f"close code {code} may not be sent; use 1000 to 1014 without 1004, 1005 and 1006, "
            "or 3000 to 4999"
        )
    text = reason.encode("utf-8")
    if len(text) > 123:  # cut on a character's boundary
        text = text[:123].decode("utf-8", "ignore").encode("utf-8")
    return code.to_bytes(2, "big") + text
