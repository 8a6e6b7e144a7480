"""A message that is encoded once for many connections: the compiled twin or its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsext.protocol.twins import CODEC

if TYPE_CHECKING or CODEC == "python":
    from wsext.protocol._prepared_py import PreparedMessage
else:
    from wsext.protocol._prepared_c import PreparedMessage

__all__ = ["PreparedMessage"]
