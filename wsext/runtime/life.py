"""Leads a session through the stages of its life (`wsext.runtime.stages`).

A session is what the application holds. A connection is one transport with its engine
(`wsext.runtime.link`). A session has one connection at a time, and may get another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from wsext.errors import ConnectionClosed, ProtocolError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode, build_close
from wsext.protocol.connection import Connection
from wsext.runtime import stages
from wsext.runtime.drive import driven
from wsext.runtime.inbox import Inbox
from wsext.runtime.lasting import Lasting
from wsext.runtime.link import Link
from wsext.runtime.outcome import Outcome, closed_error, forget_frames, usual_outcome
from wsext.runtime.patience import close_rest
from wsext.runtime.ports import HasCallbacks, Observers
from wsext.runtime.session_path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers

__all__ = ["Life", "life_of"]

logger = get_logger("wsext.session")


def life_of(session: SessionPath) -> Life:
    """The life of a session: what servers, clients and rooms do with it."""
    life: Life = session._life
    return life


class Life(Lasting):
    """Leads one session through its stages; see `LIFE`.

    Args:
        session: The session.
        connection: Its first connection's engine.
        options: The options of the session.
        observers: The hooks of what is installed.
        timers: What runs timeouts; by default the event loop.
        outcome: How a failure ends the session, for example by `App.map_exception`.
    """

    __slots__ = ("__weakref__", "_outcome")

    def __init__(
        self,
        session: Any,
        connection: Connection,
        options: WebSocketOptions,
        observers: Observers,
        timers: Timers | None = None,
        outcome: Callable[[BaseException], Outcome] | None = None,
    ) -> None:
        Lasting.__init__(self, session, connection, options, observers, timers)
        self._outcome = outcome or usual_outcome

    # --- the beginning ------------------------------------------------------------------------

    def start(
        self,
        transport: asyncio.Transport,
        rest: bytes = b"",
        listener: Callable[[], HasCallbacks] | None = None,
    ) -> None:
        """Begin on a transport whose opening handshake is done.

        The transport is attached before any hook, constructor or handler runs, so that whatever
        they write is sent. If one of them fails, the session ends as by a handler that fails.

        Args:
            transport: The transport.
            rest: The bytes that came with the handshake.
            listener: Makes the listener that is told of messages.
        """
        self._go(stages.ATTACH)
        self.link.attach(transport)
        self._session._forget_secrets()
        self.carrier = transport.get_extra_info("carrier")
        session = self._session
        try:
            self._observers.session_opened(session)
            if listener is not None:
                made = listener()
                self._listener = made
                made.on_open(session)
                if not self.failed:
                    session._on_message = made.on_message
        except (Exception, asyncio.CancelledError) as error:
            self.end_with(error, "opening")
        self._go(stages.OPENED)
        self.watch_identity()
        self.link.begin(rest)

    async def run(self, handler: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        """Run a coroutine handler to its end, and end the session as its outcome says."""
        try:
            if not self.failed:
                await driven(handler(*arguments, **keywords))
        except ConnectionClosed as closed:
            logger.debug("session %s: %s", self.id, closed)
            forget_frames(closed)
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception as error:
            self.end_with(error, "handler")
        if not self._tasks and self._session is not None:  # nobody is left who could read it
            self.end_receiving()
            self._session._inbox.clear()
        if self.link.connection.raw:
            self.link.close_transport()
        elif self.is_open:
            self.close(CloseCode.NORMAL, "")
        await self.wait_closed()

    # --- one way to end -----------------------------------------------------------------------

    def end_with(self, error: BaseException, what: str) -> None:
        """End the session because something of the application's has failed.

        Every failure comes here, whatever failed: a hook, a listener's constructor or method, the
        handler, a task.
        """
        if isinstance(error, ConnectionClosed):
            return
        if isinstance(error, asyncio.CancelledError):
            self.abort()
            return
        code, reason, planned = self._outcome(error)
        if self.failed or self.info is not None:
            logger.debug("session %s: %s failed as well", self.id, what, exc_info=error)
            forget_frames(error)
            return
        self.failed = True
        if planned:
            logger.info("session %s: %s: %s", self.id, type(error).__name__, error)
        else:
            logger.error("session %s: %s failed", self.id, what, exc_info=error)
        forget_frames(error)
        self.set_failure(error)
        self.end_receiving()
        if self.stage is stages.DETACHED:
            self._end_soon()
        else:
            self.link.send_close(code, reason)

    def end_receiving(self) -> None:
        """Hand nothing more to the handler: what comes from now on is thrown away.

        A server that drains cannot pass messages on any more, so it must not take any either.
        """
        self._is_diverted = False
        if self.journal is not None:
            self.journal.take_no_more()
        if self._session is not None:
            self._session._on_message = None
            self._session._inbox.end_at_once(self.closed_error)

    def close(self, code: int, reason: str) -> None:
        """Begin to close. A session without a connection does so with the next one; a client waits
        no longer than ``close_timeout`` for that."""
        if not self._is_waiting:
            self.link.send_close(code, reason)
            return
        build_close(code, reason)
        if self._close_after is None:
            self._close_after = (code, reason)
            if self.stage is stages.DETACHED:
                self._go(stages.CLOSE)
                self._start_window()

    def fail(self, error: ProtocolError) -> None:
        """End the session with the error's code; at once, if it has no connection."""
        if self._is_waiting:
            self.set_failure(error)
            self._end_soon()
        else:
            self.link.fail(error)

    # --- what the link tells ------------------------------------------------------------------

    def closing(self, *, more: bool) -> None:
        """The closing handshake has begun; ``more`` says whether the peer may still send data."""
        if self.stage in (stages.NEW, stages.RELEASED):
            return
        self._go(stages.CLOSE)
        if self._session is None:
            return
        inbox: Inbox = self._session._inbox
        if not more and self.keeps(self.link):
            self.writer.detach()  # a client's server goes away
        elif not more:
            inbox.end(self.closed_error)
        elif inbox.full or inbox.is_held:
            inbox.refuse()  # the peer's Close frame stands behind what nobody has room for

    def lost(self, link: Link) -> None:
        """A connection's transport is gone."""
        left = link.connection.pipeline.close()
        if left:
            self._closing = asyncio.get_running_loop().create_task(
                close_rest(left, self.options, self._closing)
            )
        if self.info is not None:
            return
        if link.is_final:
            self._end()
        else:
            self._detach()

    def _end(self) -> None:
        self._go(stages.LOSE)
        self._stop_window()
        self._stop_expiry()
        session = self._session
        self.info = info = self.link.connection.close_info()
        error = partial(closed_error, info)
        session._on_message = None
        session._inbox.close(error)
        if self._writer is not None:
            self._unsent = self._writer.unsent()
            self._writer.end(error)
        if self._listener is not None:
            self._guard(self._listener.on_close, session, info)
            self._listener = None
        self._observers.session_closed(session, info)
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._guard(callback, info)
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(info)
        self._let_go(error)

    def _let_go(self, error: Callable[[], ConnectionClosed]) -> None:
        """Let go of the session: it is freed as soon as the application does so, too."""
        self.link.release(error)
        self._session._forget()
        self._session = self.on_detached = None
        if self.journal is not None:
            self.journal.session = self.journal.owner = None
            self.journal.queue = ()

    async def release(self) -> None:
        """The handler is done: cancel what `create_task` started, and wait for it and for codecs
        that take a little longer to close."""
        await self.wait_company()
        if self.stage is stages.ENDED:
            self._go(stages.RELEASE)
        elif self.stage is stages.NEW:  # its handshake was not accepted
            self._let_go(self.closed_error)
