"""Close codes, the payload of Close frames, and how a session ended (RFC 6455 §7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from wsext.errors import RemoteProtocolError

__all__ = [
    "LOCAL_ONLY_CODES",
    "CloseCode",
    "CloseInfo",
    "build_close",
    "is_sendable_code",
    "parse_close",
]


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


def is_sendable_code(code: int) -> bool:
    """Whether a close code may stand in a Close frame (RFC 6455 §7.4)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


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
