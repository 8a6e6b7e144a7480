"""One message for many sessions, where there is no room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from wsext.errors import ConnectionClosed, ProtocolError, QueueFull
from wsext.protocol.contexts import SharedContext
from wsext.protocol.frames import Data
from wsext.protocol.prepared import PreparedMessage

__all__ = ["broadcast"]


class Told(Protocol):
    """Who can be told something: a session, on asyncio or on trio."""

    def send_nowait(self, data: Any) -> None: ...


S = TypeVar("S", bound=Told)


def broadcast(
    sessions: Iterable[S],
    data: Data | PreparedMessage,
    *,
    hints: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    context: SharedContext | None = None,
) -> dict[S, Exception]:
    """Send a message to many sessions, without waiting for any.

    It is encoded once for all that can share it. What happens to a session whose peer reads too
    slowly is its overflow policy's matter (``outgoing_overflow``), and no session's state stops the
    others: those that are closing are skipped.

    Args:
        sessions: Who gets it.
        data: ``str`` becomes a text message, bytes-like a binary one.
        hints: For the extensions, as in `Session.send`.
        meta: Metadata beside the message, as in `Session.send`.
        context: What the same group was told before: the message is compressed with that as its
            context, once for all (see `SharedContext`). Without one, nothing is remembered.

    Returns:
        The sessions that did not get it, each with the reason: `ConnectionClosed`, `QueueFull` by
        the policy ``suspend``, a `ProtocolError` by the policy ``close`` or from an extension.

    Raises:
        TypeError: If the data is of another type.
    """
    if not isinstance(data, PreparedMessage):
        data = PreparedMessage(data, hints=hints, meta=meta)
    if context is not None:
        data = data.within(context)
    missed: dict[S, Exception] = {}
    for session in list(sessions):
        try:
            session.send_nowait(data)
        except (ConnectionClosed, ProtocolError, QueueFull) as error:
            missed[session] = error.with_traceback(None)
    return missed
