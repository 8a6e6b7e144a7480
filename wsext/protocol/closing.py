"""Close codes and the payload of Close frames (RFC 6455 §7)."""

from __future__ import annotations

from enum import IntEnum

from wsext.errors import RemoteProtocolError

__all__ = [
    "LOCAL_ONLY_CODES",
    "CloseCode",
    "build_close",
    "build_failure",
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


_NO_STATUS = CloseCode.NO_STATUS  # at hand: Python 3.11 makes a call to find it

#: Codes that describe an end but never travel (RFC 6455 §7.4.1).
LOCAL_ONLY_CODES = frozenset({1005, 1006, 1015})


def is_sendable_code(code: int) -> bool:
    """Whether a close code may stand in a Close frame (RFC 6455 §7.4)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def build_failure(code: int, reason: str) -> bytes:
    """The payload of the Close frame that fails a connection, whatever an extension or an
    application has put into its error: 1011 in place of what may not be sent."""
    try:
        return build_close(code, reason) or build_close(CloseCode.INTERNAL_ERROR, "")
    except (ValueError, AttributeError):  # no code that may be sent, or a reason that is no text
        return build_close(CloseCode.INTERNAL_ERROR, "")


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
    if code == _NO_STATUS:
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
