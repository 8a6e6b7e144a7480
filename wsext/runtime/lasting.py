"""How a session outlives its connection: it waits for another one, and goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from wsext.errors import CloseInfo, ConnectionClosed, NotResumed
from wsext.protocol.agreement import Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.http import Request
from wsext.protocol.states import State
from wsext.runtime import stages
from wsext.runtime.expiry import expired, renew, seconds_left
from wsext.runtime.flow import Flow
from wsext.runtime.link import Link
from wsext.runtime.outcome import closed_error
from wsext.runtime.ports import Observers
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stages import LIFE, LifeEvent
from wsext.runtime.timers import Timers
from wsext.runtime.window import Window

__all__ = ["Lasting"]

#: What a server closes with that goes away or is busy for now: a client comes back.
_GOES_AWAY = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)


class Lasting(Flow):
    """The part of a session's life between connections; `wsext.runtime.life.Life` has it.

    Args:
        session, connection, options, timers: As of `Flow`.
        observers: The hooks of what is installed.

    Attributes:
        stage: Where the session stands.
        carrier: HTTP/2: the connection whose stream carries the session.
        resumptions: How often it was resumed.
        on_detached: Called with the session when its connection is lost and another one is to come.
            A client without it never detaches.
    """

    __slots__ = (
        "_close_after",
        "_expiry",
        "_observers",
        "_unsent",
        "_window",
        "carrier",
        "on_detached",
        "resumptions",
        "stage",
    )

    def __init__(
        self,
        session: Any,
        connection: Connection,
        options: WebSocketOptions,
        observers: Observers,
        timers: Timers | None = None,
    ) -> None:
        Flow.__init__(self, session, connection, options, timers)
        self.stage = stages.NEW
        self.carrier: Any = None
        self.resumptions = 0
        self.on_detached: Callable[[Any], None] | None = None
        self._observers = observers
        self._close_after: tuple[int, str] | None = None  # what the next connection is closed with
        self._window: Window | None = None
        self._expiry: Any = None  # the timer of an identity that expires
        self._unsent: list[str | bytes] = []
        if self.journal is not None:
            self.journal.owner = self

    def _go(self, happening: LifeEvent) -> None:
        self.stage = LIFE[self.stage, happening]

    def abort(self) -> None:
        """End the session without a closing handshake."""
        if self.stage is stages.DETACHED:
            self._end()
        else:
            self.link.end()

    def set_failure(self, error: BaseException) -> None:
        """Record what ends the session, for `close_info`; the first one stays."""
        connection = self.link.connection
        connection.failure = connection.failure or error

    def closed_error(self) -> ConnectionClosed:
        """What is raised once the session has ended."""
        return closed_error(self.close_info)

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended."""
        return self.info or self.link.connection.close_info()

    def _end(self) -> None:
        """The last connection is gone."""
        raise NotImplementedError

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent; without a connection they wait."""
        return self.link.is_open or (self._is_waiting and self._close_after is None)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection just now."""
        return self.stage in (stages.OPENING, stages.OPEN, stages.CLOSING)

    @property
    def unconfirmed(self) -> list[str | bytes]:
        """See `Session.unconfirmed`."""
        if self.journal is None:
            return []
        unsent = self._unsent if self._writer is None else self._unsent + self._writer.unsent()
        return self.journal.unconfirmed() + unsent

    @property
    def _is_waiting(self) -> bool:
        """Whether the session waits for another connection, or is about to."""
        return self._writer is not None and self._writer.is_detached

    def keeps(self, link: Link) -> bool:
        """Whether the session goes on with another connection, if this one is lost now."""
        journal, connection = self.journal, link.connection
        if journal is None or link.is_final or self.failed or connection.raw:
            return False
        if self.stage not in (stages.OPEN, stages.CLOSING) or not journal.is_resumable:
            return False
        if connection.role == "client" and self.on_detached is None:
            return False
        if connection.remote_close is None:
            return connection.state in (State.OPEN, State.CLOSE_SENT)
        goes_away = connection.remote_close[0] in _GOES_AWAY and not connection.local_first
        return connection.role == "client" and goes_away

    def cut_off(self) -> None:
        """Freeze the connection and drop it: from now on nothing that it reads or writes counts.

        Nothing happens where there is none.
        """
        if self.stage in (stages.OPEN, stages.CLOSING):
            self.link.cut_off()

    def watch_identity(self) -> None:
        """Have the session end when its identity expires. Without a connection it does not: whoever
        comes back for it has to show an identity that has not."""
        self._stop_expiry()
        expires = self._session.request.expires if self.stage is stages.OPEN else None
        if expires is not None:
            self._expiry = self._clock.call_later(seconds_left(expires), self._expire)

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        if self.stage is stages.OPEN:
            self.end_with(expired(), "identity")

    def renew(self, identity: Any, expires: float | None) -> None:
        """See `Session.renew`."""
        if not self.is_open:
            raise self.closed_error()
        renew(self._session.request, identity, expires)
        self.watch_identity()

    def _detach(self) -> None:
        session = self._session
        self._stop_expiry()
        self._go(stages.DETACH)
        session.request.transport = None
        self.link.connection.failure = None  # that the connection is lost is no failure
        self._close_after = self._close_after or self.link.close_after
        session._inbox.undecoded = 0
        session._inbox.count()
        self.writer.detach()
        self._start_window()
        if self._listener is not None:
            self._guard(self._listener.on_detach, session)
        self._observers.session_detached(session)
        if self.on_detached is not None and self.stage is stages.DETACHED:
            self.on_detached(session)

    def _start_window(self) -> None:
        assert self.journal is not None
        self._stop_window()
        seconds = self.journal.window
        if self._close_after is not None and self.link.connection.role == "client":
            seconds = min(seconds, self.options.close_timeout)
        late = NotResumed("expired")
        self._window = Window(self._clock, seconds, partial(self.give_up, late))

    def _stop_window(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.stop()

    @property
    def _clock(self) -> Timers:
        return self._timers or asyncio.get_running_loop()

    def resume(
        self,
        request: Request,
        negotiation: Negotiation,
        transport: asyncio.Transport,
        rest: bytes = b"",
        peer_received: int = 0,
    ) -> None:
        """Go on with another connection, whose opening handshake is done.

        Args:
            request: The new handshake's request; it becomes the session's.
            negotiation: What was agreed; with the session's journal.
            transport: The transport.
            rest: The bytes that came with the handshake.
            peer_received: How many messages the peer has received.

        Raises:
            ConnectionClosed: If the session has ended in the meantime. The transport is the
                caller's.
            ValueError: If the peer cannot have received so many (`Journal.can_rewind`).
        """
        self.cut_off()
        session, journal, before = self._session, self.journal, self.link
        if self.stage is not stages.DETACHED:
            raise self.closed_error()
        assert journal is not None
        journal.rewind(peer_received)
        self._stop_window()
        self._go(stages.ATTACH)
        self.link = link = self._connect(session._renew(request, negotiation, self._observers))
        link.follow(before)
        link.attach(transport)
        self.watch_identity()
        if before.is_fresh:
            link.keep_fresh()
        self.carrier = transport.get_extra_info("carrier")
        self.resumptions += 1
        link.connection.send_ack()  # which says that this side has the answer, too
        link.soon()
        self.writer.attach(link)
        if self._listener is not None:
            self._guard(self._listener.on_resume, session)
        self._observers.session_resumed(session)
        self._resume_listener()
        if self._close_after is not None:
            link.send_close(*self._close_after)
        link.begin(rest)

    def give_up(self, error: BaseException) -> None:
        """No connection is to come any more: end a session that has none.

        Args:
            error: Why, for ``close_info.exception``.
        """
        if self.stage is stages.DETACHED:
            self.link.connection.failure = error
            self._end()

    def _end_soon(self) -> None:
        """End a session that has no connection, not from within its or a room's own code."""
        if self.stage is stages.DETACHED:
            asyncio.get_running_loop().call_soon(self.abort)
