"""What a stream is made of, and what it is told before it is a session's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio

from wsext.errors import PluginError
from wsext.protocol.connection import Connection
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed

__all__ = ["StreamInfo", "close_after", "no_resuming"]

#: Seconds that the peer gets to take what is said last.
_PATIENCE = 1.0


class StreamInfo:
    """What a stream knows, under the names that asyncio's transports have for it.

    Args:
        stream: The stream, or a listener.
    """

    def __init__(self, stream: trio.abc.AsyncResource) -> None:
        self._tls = stream if isinstance(stream, trio.SSLStream) else None
        inner: Any = getattr(stream, "transport_stream", stream)
        inner = getattr(inner, "transport_listener", inner)
        self._socket: Any = getattr(inner, "socket", None)

    def get_extra_info(self, name: str) -> Any:
        """``peername``, ``sockname``, ``socket``, or ``ssl_object``, which has ``getpeercert``;
        ``None`` for what there is not."""
        if name == "ssl_object":
            return self._tls
        if name in ("peername", "sockname") and self._socket is not None:
            with suppress(OSError):  # it may be gone already
                return getattr(self._socket, f"get{name}")()
        return self._socket if name == "socket" else None


async def close_after(stream: trio.abc.Stream, code: int) -> None:
    """Close a client's connection that becomes no session; for the server it is open already."""
    connection = Connection("client")
    connection.send_close(code)
    scope = trio.CancelScope(shield=True, deadline=trio.current_time() + _PATIENCE)
    with scope, suppress(trio.BrokenResourceError):
        await stream.send_all(b"".join(connection.data_to_send()))
        await stream.aclose()
    await trio.aclose_forcefully(stream)


def no_resuming(installed: Installed) -> Installed:
    """What is installed, checked: on trio, nothing keeps a session without a connection.

    Raises:
        PluginError: If an extension does that.
    """
    for extension in installed.extensions:
        if type(extension).resume_offers is not Extension.resume_offers:
            problem = "keeps sessions without a connection, which wsext.trio does not: leave it out"
            raise PluginError(extension.name, problem)
    return installed
