"""One message for many sessions, where there is no room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from wsext.errors import ConnectionClosed, ProtocolError, QueueFull
from wsext.protocol.contexts import SharedContext
from wsext.protocol.frames import Data
from wsext.protocol.prepared import PreparedMessage
from wsext.runtime.common import Common
from wsext.runtime.formats import encode_json
from wsext.runtime.prepared_value import PreparedValue

__all__ = ["broadcast", "broadcast_json"]


S = TypeVar("S", bound=Common)


def broadcast(
    sessions: Iterable[S],
    data: Data | PreparedMessage | PreparedValue,
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
        data: ``str`` becomes a text message, bytes-like a binary one. A `PreparedValue` becomes
            for each session what its `Session.format` says.
        hints: For the extensions, as in `Session.send`.
        meta: Metadata beside the message, as in `Session.send`.
        context: What the same group was told before: the message is compressed with that as its
            context, once for all (see `SharedContext`). Without one, nothing is remembered. Of a
            `PreparedValue`, the JSON is.

    Returns:
        The sessions that did not get it, each with the reason: `ConnectionClosed`, `QueueFull` by
        the policy ``suspend``, a `ProtocolError` by the policy ``close`` or from an extension.

    Raises:
        TypeError: If the data is of another type.
    """
    if not isinstance(data, (PreparedMessage, PreparedValue)):
        data = PreparedMessage(data, hints=hints, meta=meta)
    if context is not None:
        data = data.within(context)
    missed: dict[S, Exception] = {}
    for session in list(sessions):
        try:
            form = data.form(session.format) if isinstance(data, PreparedValue) else data
            session.send_nowait(form)
        except (ConnectionClosed, ProtocolError, QueueFull) as error:
            missed[session] = error.with_traceback(None)
    return missed


def broadcast_json(
    sessions: Iterable[S],
    value: Any,
    *,
    text: bool = True,
    hints: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    context: SharedContext | None = None,
) -> dict[S, Exception]:
    """`broadcast` a value as JSON (msgspec), in a text message or a binary one.

    Raises:
        TypeError: If the value cannot be encoded.
    """
    data = encode_json(value, text)
    return broadcast(sessions, data, hints=hints, meta=meta, context=context)
