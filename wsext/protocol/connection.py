"""The engine, compiled or not; every front feeds a `Connection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from wsext.protocol.frames import Frame, Message
from wsext.protocol.twins import CODEC

if TYPE_CHECKING or CODEC == "python":
    from wsext.protocol._connection_py import Connection
    from wsext.protocol._wire_py import to_payload
else:
    from wsext.protocol._connection_c import Connection
    from wsext.protocol._wire_c import to_payload

__all__ = ["Connection", "Event", "to_payload"]

Event: TypeAlias = "Message | Frame"
