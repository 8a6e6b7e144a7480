"""The queue between a connection and its reader: the compiled twin or its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsext.protocol.twins import CODEC

if TYPE_CHECKING or CODEC == "python":
    from wsext._queues_py import DONE, Drive, Inbox, as_frame
else:
    from wsext._queues_c import DONE, Drive, Inbox, as_frame

__all__ = ["DONE", "Drive", "Inbox", "as_frame"]
