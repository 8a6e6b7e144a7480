"""What travels on a WebSocket: frames, messages, opcodes, reserved bits and close codes.

RFC 6455 §5.2 (base framing), §5.5 (control frames), §7.4 (status codes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from wsext.protocol.closing import (
    LOCAL_ONLY_CODES,
    CloseCode,
    CloseInfo,
    build_close,
    is_sendable_code,
    parse_close,
)
from wsext.protocol.codes import RSV, Opcode
from wsext.protocol.twins import CODEC

if TYPE_CHECKING or CODEC == "python":
    from wsext.protocol._frames_py import Frame, Message
else:
    from wsext.protocol._frames_c import Frame, Message

__all__ = [
    "LOCAL_ONLY_CODES",
    "RSV",
    "CloseCode",
    "CloseInfo",
    "Data",
    "Frame",
    "Message",
    "Opcode",
    "build_close",
    "is_sendable_code",
    "parse_close",
]

Data: TypeAlias = "str | bytes | bytearray | memoryview"
"""What an application may send: ``str`` is a text message, anything else a binary one."""
