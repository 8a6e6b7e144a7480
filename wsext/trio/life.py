"""Leads a session from its beginning to its end: hooks, the handler, and how it is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import trio

from wsext.errors import CloseInfo, ConnectionClosed, LocalProtocolError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Message
from wsext.protocol.states import State
from wsext.runtime.expiry import expired, renew, seconds_left
from wsext.runtime.outcome import Outcome, closed_error, forget_frames, usual_outcome
from wsext.runtime.ports import Observers
from wsext.runtime.settings import WebSocketOptions
from wsext.trio.inbox import TrioInbox
from wsext.trio.link import TrioLink
from wsext.trio.outflow import TrioOutflow

__all__ = ["TrioLife", "leaves_of", "life_of"]

logger = get_logger("wsext.session")

#: Passes of trio's scheduler in which a program that deals with messages takes at least one.
_PASSES = 4


def life_of(session: Any) -> TrioLife:
    """The life of a session: what servers and clients do with it."""
    life: TrioLife = session._life
    return life


class TrioLife:
    """The life of one session.

    Args:
        session: The session.
        connection: Its connection's engine.
        stream: What the connection runs on.
        options: The options of the session.
        observers: The hooks of what is installed.
        outcome: How a failure ends the session, for example by `App.map_exception`.

    Attributes:
        inbox: What was received.
        link: The connection.
        writer: What is sent.
        id: The session's.
        info: How the session ended, once it has.
    """

    journal = None  # sessions are not resumed on trio
    carrier = None  # nor run over HTTP/2

    def __init__(
        self,
        session: Any,
        connection: Connection,
        stream: trio.abc.Stream,
        options: WebSocketOptions,
        observers: Observers,
        outcome: Callable[[BaseException], Outcome] | None = None,
    ) -> None:
        self.info: CloseInfo | None = None
        self.id = session.id
        self._session = session
        self._raw = session._raw
        self._options = options
        self._observers = observers
        self._outcome = outcome or usual_outcome
        self._has_failed = False
        self._ended = trio.Event()
        self._expiry: trio.CancelScope | None = None
        self.link = TrioLink(connection, stream, options, self)
        self.inbox = TrioInbox(options.incoming_capacity, options.incoming_bytes, self.link.go_on)
        self.writer = TrioOutflow(self.link, options, self.closed_error)

    def open(self) -> None:
        """Tell the hooks; what they send is written. If one fails, the session ends by that."""
        self._session._forget_secrets()
        try:
            self._observers.session_opened(self._session)
        except Exception as error:
            self.end_with(error, "opening")
        self._watch_identity()

    def _watch_identity(self) -> None:
        """Have the session end when its identity expires."""
        if self._expiry is not None:
            self._expiry.cancel()
        expires = self._session.request.expires
        if expires is not None:
            self._expiry = self.link.timers.call_later(seconds_left(expires), self._expire)

    def _expire(self) -> None:
        if self.is_open:
            self.end_with(expired(), "identity")

    def renew(self, identity: Any, expires: float | None) -> None:
        """See `Session.renew`."""
        if not self.is_open:
            raise self.closed_error()
        renew(self._session.request, identity, expires)
        self._watch_identity()

    async def run(self, handler: Callable[..., Any], **keywords: Any) -> None:
        """Run a handler to its end, and end the session as its outcome says."""
        try:
            if not self._has_failed:
                await handler(self._session, **keywords)
        except Exception as error:
            self.end_with(error, "handler")
        except BaseExceptionGroup as group:  # some of it is a cancellation
            failures, rest = group.split(Exception)
            if failures is not None:
                self.end_with(failures, "handler")
            self.abort()
            if rest is not None:
                raise rest from None
        except BaseException:
            self.abort()
            raise
        if self.info is None:  # nobody is left who could read what comes
            self.inbox.refuse()
            self.inbox.clear()
        if self._raw:
            self.link.finish()
        else:
            self.close(CloseCode.NORMAL, "")
        await self.wait_closed()

    # --- what the link tells ------------------------------------------------------------------

    def deliver(self, event: Any) -> None:
        """A message has come, or a frame."""
        if not isinstance(event, Message) and not self._raw:
            return  # a control frame, which the connection has dealt with
        if not self.inbox.put(event):
            self._overflow()

    async def let_read(self) -> None:
        """Let the program deal with what has come, as long as it does."""
        passes = 0
        while passes < _PASSES and not self.inbox.is_awaited:
            waiting = len(self.inbox)
            await trio.lowlevel.checkpoint()
            passes = passes + 1 if len(self.inbox) == waiting else 0

    def _overflow(self) -> None:
        """The inbox has reached its bounds."""
        inbox, link, policy = self.inbox, self.link, self._options.incoming_overflow
        state = link.connection.state
        if policy == "drop-oldest":
            inbox.drop_oldest()
        elif state is State.CLOSE_SENT:
            inbox.refuse()  # nobody may be reading any more, and the peer's Close has to be found
        elif policy == "suspend":
            link.stall()
        elif inbox.is_over:
            link.fail(LocalProtocolError("messages come too fast", CloseCode.TRY_AGAIN_LATER))

    def closing(self, *, more: bool) -> None:
        """The closing handshake has begun."""
        if not more:
            self.inbox.end(self.closed_error)
        elif self.inbox.full:
            self.inbox.refuse()  # the peer's Close frame stands behind what nobody has room for
        if not self.link.connection.is_open:
            self.writer.end()

    def lost(self) -> None:
        """The connection is gone."""
        self.info = info = self.link.connection.close_info()
        error = partial(closed_error, info)
        self.inbox.end(error)
        self.writer.end(error)
        self.link.release(error)
        session, self._session = self._session, None  # nothing that has ended keeps it
        self._observers.session_closed(session, info)
        session._forget()
        self._ended.set()

    # --- the end ------------------------------------------------------------------------------

    def end_with(self, error: BaseException, what: str) -> None:
        """End the session because something of the application's has failed.

        What a nursery raises is a group. Whoever learns in it that the session has ended has not
        failed; and if one thing is left, that is the failure.
        """
        failures = [each for each in leaves_of(error) if not isinstance(each, ConnectionClosed)]
        if not failures:
            logger.debug("session %s: %s", self.id, error)
            forget_frames(error)
            return
        failure = failures[0] if len(failures) == 1 else error
        code, reason, planned = self._outcome(failure)
        if self._has_failed or self.info is not None:
            logger.debug("session %s: %s failed as well", self.id, what, exc_info=error)
            return
        self._has_failed = True
        if planned:
            kind = type(failure).__name__
            logger.info("session %s: %s: %s", self.id, kind, failure)
        else:
            logger.error("session %s: %s failed", self.id, what, exc_info=error)
        forget_frames(error)
        self.set_failure(failure)
        self.inbox.refuse()
        self.inbox.end(self.closed_error)
        self.link.send_close(code, reason)

    def set_failure(self, error: BaseException) -> None:
        """What has ended the session, for `CloseInfo.exception`."""
        connection = self.link.connection
        connection.failure = connection.failure or error

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.link.is_open

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended."""
        return self.info or self.link.connection.close_info()

    def closed_error(self) -> ConnectionClosed:
        """What is raised by whoever still uses the session."""
        return closed_error(self.close_info)

    def close(self, code: int, reason: str) -> None:
        """Begin to close."""
        self.link.send_close(code, reason)

    def abort(self) -> None:
        """Drop the connection at once."""
        self.link.abort()

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, and everything of it is freed."""
        await self._ended.wait()
        return self.close_info

    @property
    def dropped(self) -> int:
        """Messages that were to be sent and were dropped by the policy ``drop-oldest``."""
        return self.writer.dropped

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were sent and that the operating system has not taken yet."""
        return self.writer.outbox.size + self.link.unwritten


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """What a group of exceptions consists of, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves_of(each)
    else:
        yield error
