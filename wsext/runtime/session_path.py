"""What happens for every message of a session: it is received, and it is sent.

Runs as it is, and compiled. What is rarer is in `wsext.runtime.session`.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from wsext.errors import ProtocolError
from wsext.escape import get_logger
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Frame, Message
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import State
from wsext.runtime.inbox import DONE, Inbox
from wsext.runtime.write_path import WritePath

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Send", "SessionPath", "new_send", "send_to_all"]

logger = get_logger("wsext.session")

_OPEN = State.OPEN


@cython.no_gc  # nothing that it refers to refers to it
@cython.freelist(64)
@cython.cclass
class Send:
    """What `Session.send` returns. It sends when it is awaited, as a coroutine would."""

    __slots__ = ("_data", "_hints", "_meta", "_sender", "_session", "_started", "_steps")

    _data: Any
    _hints: Any
    _meta: Any
    _sender: Any
    _session: SessionPath | None
    _started: bool
    _steps: Any

    def __await__(self) -> Any:
        return self._start()

    def _start(self) -> Any:
        """Send now if that is possible; what to iterate over until it is done."""
        if self._started:
            raise RuntimeError("cannot reuse an awaitable that was awaited")
        self._started = True
        session = self._session
        assert session is not None
        data = self._data
        hints = self._hints
        meta = self._meta
        sender = self._sender
        self._session = self._sender = self._data = None
        link = session._link
        if (
            (type(data) is str or type(data) is bytes)
            and session._connection.state is _OPEN
            and not link._paused
            and not link.queueing
            and session._connection.wire_bytes_out <= link.free_until
            and link._sent() <= link.turn_until
        ):
            link._send(data, hints, meta)
            return DONE
        return sender._send_slowly(data, hints, meta).__await__()

    # As of a coroutine, for who makes a task of it.

    def send(self, value: Any) -> Any:
        """Begin, or go on."""
        if self._steps is None:
            self._steps = self._start()
        return self._steps.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise where it waits."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if self._steps is None:
            self._started = True
            raise value
        return self._steps.throw(value)

    def close(self) -> None:
        """Do not send, or give up waiting."""
        self._started = True
        if self._steps is not None:
            self._steps.close()

    def __dealloc__(self) -> None:
        """Say so if it was thrown away; compiled, this costs less than ``__del__``."""
        if not self._started:
            warnings.warn(
                "coroutine 'Session.send' was never awaited: the message was not sent",
                RuntimeWarning,
                stacklevel=2,
            )


Coroutine.register(Send)
if not cython.compiled:
    Send.__del__ = Send.__dealloc__  # type: ignore[attr-defined]


def new_send(session: SessionPath, sender: Any, data: Any, hints: Any, meta: Any) -> Send:
    """What sends a message in a session when it is awaited.

    Args:
        session: The session.
        sender: Whose ``_send_slowly`` is called for what cannot be sent at once: the session, or
            who sends for an application.
        data: The message; hints and meta as for `SessionPath.send`.
    """
    sending = Send.__new__(Send)
    sending._sender = sender
    sending._session = session
    sending._data = data
    sending._hints = hints
    sending._meta = meta
    sending._started = False
    sending._steps = None
    return sending


class SessionPath:
    """The per-message part of a session; `Session` sets its link and its inbox."""

    __slots__ = ("_connection", "_inbox", "_life", "_link", "_on_message", "_raw")

    def __init__(self, raw: bool) -> None:
        self._raw = raw
        self._on_message: Any = None
        self._life: Any = None
        self._connection: Connection
        self._link: WritePath
        self._inbox: Inbox

    # --- receiving ----------------------------------------------------------------------------

    def _deliver(self, item: Any) -> None:
        """Called by the link with a message, on a raw session with a frame."""
        on_message = self._on_message
        if on_message is not None:
            try:
                on_message(self, item.data)
            except (Exception, asyncio.CancelledError) as error:
                self._listener_failed(error)
            if self._link._paused or self._link.queueing:
                self._listener_is_ahead()
            return
        inbox = self._inbox
        if not inbox.put(item):
            self._overflow()

    def _deliver_one(self, message: Message) -> None:
        """`_deliver`, and resume who waits for it."""
        self._deliver(message)
        if self._on_message is None:
            self._inbox.wake(1)

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message: ``str`` for text, ``bytes`` for binary.

        A cancelled `receive` takes no message: the next one gets it.

        Raises:
            ConnectionClosed: When the session has ended and nothing waits any more.
        """
        return self._inbox.data()

    def receive_message(self) -> Coroutine[Any, Any, Message]:
        """The next message with its type and metadata.

        Raises:
            ConnectionClosed: As `receive`.
        """
        return self._inbox.message()

    def receive_frame(self) -> Coroutine[Any, Any, Frame]:
        """The next frame: on a raw session as it came, otherwise a whole message as one frame.

        Raises:
            ConnectionClosed: As `receive`.
        """
        return self._inbox.frame()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over messages until the session ends; normal ends finish the loop silently."""
        return self._inbox

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._inbox.__anext__()

    # --- sending ------------------------------------------------------------------------------

    def send(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Send a message; waits while the peer reads too slowly.

        Nothing is sent until this is awaited. If it is cancelled while it waits, the message is
        either not sent at all, or it was on its way already and is sent whole: an extension's state
        never gets ahead of the peer's. A message in fragments (an asynchronous iterator) that is
        cancelled half way fails the connection, since nothing can take back its first part.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one, an asynchronous iterator
                of either one message in fragments, sent as they come.
            hints: For the extensions, for example ``{"compress": False}``; never sent.
            meta: Metadata beside the message, for extensions that carry some.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            TypeError: If the data is of another type.
        """
        return new_send(self, self, data, hints, meta)

    def send_nowait(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a message without waiting; when the peer is slow, the overflow policy decides.

        For many sessions use `wsext.broadcast`, which no single session can stop.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            LocalProtocolError: If too much waits and the policy is ``close``: the session is
                closed with 1013.
            QueueFull: If too much waits and the policy is ``suspend``.
        """
        link = self._link
        connection = self._connection
        if (
            connection.state is _OPEN
            and not link._paused
            and not link.queueing
            and connection.wire_bytes_out <= link.free_until
        ):
            if type(data) is not PreparedMessage:
                link._send(data, hints, meta)
                return
            if link.send_prepared(data):
                return
        self._queue(data, hints, meta)

    def _try_prepared(self, message: PreparedMessage) -> bool:
        """Send a shared message if nothing waits; see `WritePath.send_prepared`."""
        return self._link.send_prepared(message)

    # --- what is rarer ------------------------------------------------------------------------

    def _send_slowly(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> Coroutine[Any, Any, None]:
        """Send what cannot be sent at once."""
        raise NotImplementedError

    def _queue(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send by the overflow policy."""
        raise NotImplementedError

    def _listener_failed(self, error: BaseException) -> None:
        """A listener's method has raised."""
        raise NotImplementedError

    def _listener_is_ahead(self) -> None:
        """A listener has sent more than the peer reads: let the peer wait, for it cannot."""
        raise NotImplementedError

    def _overflow(self) -> None:
        """The inbox has passed its bounds."""
        raise NotImplementedError


def send_to_all(message: PreparedMessage, sessions: list[Any]) -> list[int]:
    """Send a shared message in many sessions.

    A codec that fails ends its own session only.

    Returns:
        The indexes of the sessions in which it could not be sent now, so that it has to be queued.
    """
    left: list[int] = []
    for number, item in enumerate(sessions):
        session = item
        try:
            if not session._link.send_prepared(message):
                left.append(number)
        except ProtocolError as error:
            logger.debug("%r: %s", session, error)
    return left
