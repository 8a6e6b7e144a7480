"""Which options a session under uvicorn goes by: uvicorn has options of its own."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import uvicorn

from wsext.runtime.settings import WebSocketOptions

__all__ = ["session_options"]

#: Options of sessions by the option of uvicorn that means the same.
_UVICORN_OPTIONS = {
    "max_message_size": "ws_max_size",
    "incoming_capacity": "ws_max_queue",
    "ping_interval": "ws_ping_interval",
    "ping_timeout": "ws_ping_timeout",
}


def session_options(
    config: uvicorn.Config, options: WebSocketOptions, explicit: Collection[str]
) -> WebSocketOptions:
    """The options of sessions: uvicorn's where they were changed, then those that were set for
    wsext, then uvicorn's defaults.

    Raises:
        OptionError: For a value outside of wsext's bounds.
    """
    parameters = inspect.signature(uvicorn.Config).parameters
    values: dict[str, Any] = {}
    for name, theirs in _UVICORN_OPTIONS.items():
        value = getattr(config, theirs)
        if name not in explicit or value != parameters[theirs].default:
            # 0 is uvicorn's way to send no pings.
            values[name] = (value or None) if name.startswith("ping_") else value
    return options.replace(values)
