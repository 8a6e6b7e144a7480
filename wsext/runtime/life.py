"""Leads a session through the stages of its life (`wsext.runtime.stages`).

A session is what the application holds. A connection is one transport with its engine
(`wsext.runtime.link`). A session has one connection at a time, and may get another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LocalProtocolError,
    NotResumed,
    ProtocolError,
)
from wsext.escape import get_logger
from wsext.protocol.agreement import Negotiation
from wsext.protocol.closing import CloseCode, build_close, build_failure, parse_close
from wsext.protocol.connection import Connection
from wsext.protocol.http import Request
from wsext.protocol.journal import Journal
from wsext.protocol.states import State
from wsext.runtime.drive import driven
from wsext.runtime.inbox import Inbox
from wsext.runtime.link import Link
from wsext.runtime.patience import close_rest
from wsext.runtime.session_path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stages import LIFE, LifeEvent, LifeStage
from wsext.runtime.timers import Timers
from wsext.runtime.window import Window
from wsext.runtime.writing import Writer

__all__ = [
    "Life",
    "Outcome",
    "Progress",
    "life_of",
    "usual_outcome",
]

logger = get_logger("wsext.session")

T = TypeVar("T")


#: What a server closes with that goes away or is busy for now: a client comes back.
_GOES_AWAY = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)

#: A journal with the usual bounds.
_USUAL = Journal()

#: What a failure ends a session with: the close code, the reason, and whether it was planned.
Outcome = tuple[int, str, bool]


class HasCallbacks(Protocol):
    """What is told of a session's messages; a `Listener` is it."""

    def on_open(self, session: Any, /) -> None: ...
    def on_message(self, session: Any, message: Any, /) -> None: ...
    def on_detach(self, session: Any, /) -> None: ...
    def on_resume(self, session: Any, /) -> None: ...
    def on_close(self, session: Any, info: CloseInfo, /) -> None: ...


class Observers(Protocol):
    """Who is told that sessions open and close: the hooks of what is installed."""

    def session_opened(self, session: Any) -> None: ...
    def session_detached(self, session: Any) -> None: ...
    def session_resumed(self, session: Any) -> None: ...
    def session_closed(self, session: Any, info: CloseInfo) -> None: ...


class Progress(NamedTuple):
    """What a session has done so far, for who watches over its limits.

    Attributes:
        frames: Frames of every kind received.
        pings: Pings received.
        waiting: Bytes that wait for the peer to read while nothing more is written; else 0.
        resumed: How often the peer has made room for more to be written.
    """

    frames: int
    pings: int
    waiting: int
    resumed: int


def usual_outcome(error: BaseException) -> Outcome:
    """How a failure ends a session where no application says anything else."""
    if isinstance(error, ProtocolError):
        code, reason = parse_close(build_failure(error.code, error.reason))
        return code, reason, code == error.code
    return CloseCode.INTERNAL_ERROR, "internal error", False


def closed_error(info: CloseInfo) -> ConnectionClosed:
    """What is raised once a session has ended."""
    planned = info.code in (1000, 1001, 1005) and info.exception is None
    return (ConnectionClosedOK if planned else ConnectionClosedError)(info)


def life_to_resume(negotiation: Negotiation) -> Life | None:
    """The life of the session that a handshake resumes, for `Life.resume`; ``None`` for a new one.

    Raises:
        ConnectionClosed: If the session has ended since it was found.
    """
    journal = negotiation.journal
    if journal is None or not journal.is_started:
        return None
    if journal.session is None:
        raise ConnectionClosedError(CloseInfo())
    return life_of(journal.session)


def life_of(session: SessionPath) -> Life:
    """The life of a session: what servers, clients and rooms do with it."""
    life: Life = session._life
    return life


class Life:
    """Leads one session through its stages; see `LIFE`.

    Args:
        session: The session.
        connection: Its first connection's engine.
        options: The options of the session.
        observers: The hooks of what is installed.
        timers: What runs timeouts; by default the event loop.
        outcome: How a failure ends the session, for example by `App.map_exception`.

    Attributes:
        stage: Where the session stands.
        info: How it ended, once it has.
        link: Its connection.
        carrier: HTTP/2: the connection whose stream carries the session.
        failed: Whether a failure has ended it, or is just ending it.
        journal: What it keeps, if it can be resumed.
        resumptions: How often it was.
        on_detached: Client: called when the connection is lost and another one has to be made. A
            client without it never detaches.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_close_after",
        "_closing",
        "_is_diverted",
        "_is_listener_waiting",
        "_listener",
        "_observers",
        "_outcome",
        "_session",
        "_tasks",
        "_timers",
        "_unsent",
        "_waiters",
        "_window",
        "_writer",
        "carrier",
        "failed",
        "id",
        "info",
        "journal",
        "link",
        "on_detached",
        "options",
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
        outcome: Callable[[BaseException], Outcome] | None = None,
    ) -> None:
        self.stage = LifeStage.NEW
        self.info: CloseInfo | None = None
        self.carrier: Any = None
        self.failed = False
        self.journal = connection.pipeline.journal
        self.resumptions = 0
        self.on_detached: Callable[[], None] | None = None
        self.id: str = session.id
        self.options = options
        self._session: Any = session
        self._observers = observers
        self._outcome = outcome or usual_outcome
        self._timers = timers
        self._listener: HasCallbacks | None = None
        self._writer: Writer | None = None
        # Most sessions have none of these for most of the time: nothing is made for nothing.
        self._callbacks: dict[Callable[[CloseInfo], None], None] | None = None
        self._tasks: dict[asyncio.Task[Any], None] | None = None
        self._waiters: list[asyncio.Future[CloseInfo]] | None = None
        self._closing: asyncio.Task[None] | None = None  # codecs whose `close` is asynchronous
        self._close_after: tuple[int, str] | None = None  # what the next connection is closed with
        self._window: Window | None = None
        self._unsent: list[str | bytes] = []
        self._is_listener_waiting = False  # until more of what it has sent has left
        self._is_diverted = False  # whether its messages wait in the inbox meanwhile
        session._inbox = Inbox(options.incoming_capacity, options.incoming_bytes, self._read_on)
        if self.journal is not None:
            self.journal.is_started = True
            self.journal.session = session
            self.journal.queue = session._inbox
            self.journal.drop = self.cut_off
            session._inbox.is_watched = True
        self.link = self._connect(connection)

    def _connect(self, connection: Connection) -> Link:
        session = self._session
        link = Link(connection, self.options, self, self._timers)
        session._connection = connection
        session._link = link
        link._session = session
        session._inbox.join(link._turns)
        return link

    def _go(self, happening: LifeEvent) -> None:
        self.stage = LIFE[self.stage, happening]

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
        self._go(LifeEvent.ATTACH)
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
        self._go(LifeEvent.OPENED)
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
        else:
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
        if self.stage is LifeStage.DETACHED:
            self._end_soon()
        else:
            self.link.send_close(code, reason)

    def set_failure(self, error: BaseException) -> None:
        """Record what ends the session, for `close_info`; the first one stays."""
        connection = self.link.connection
        connection.failure = connection.failure or error

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

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent; without a connection they wait."""
        return self.link.is_open or (self._is_waiting and self._close_after is None)

    def close(self, code: int, reason: str) -> None:
        """Begin to close. A session without a connection does so with the next one; a client waits
        no longer than ``close_timeout`` for that."""
        if not self._is_waiting:
            self.link.send_close(code, reason)
            return
        build_close(code, reason)
        if self._close_after is None:
            self._close_after = (code, reason)
            if self.stage is LifeStage.DETACHED:
                self._go(LifeEvent.CLOSE)
                self._start_window()

    def fail(self, error: ProtocolError) -> None:
        """End the session with the error's code; at once, if it has no connection."""
        if self._is_waiting:
            self.set_failure(error)
            self._end_soon()
        else:
            self.link.fail(error)

    def abort(self) -> None:
        """End the session without a closing handshake."""
        if self.stage is LifeStage.DETACHED:
            self._end()
        else:
            self.link.end()

    # --- resuming -----------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection just now."""
        return self.stage in (LifeStage.OPENING, LifeStage.OPEN, LifeStage.CLOSING)

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
        if self.stage not in (LifeStage.OPEN, LifeStage.CLOSING) or not journal.is_resumable:
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
        if self.stage in (LifeStage.OPEN, LifeStage.CLOSING):
            self.link.cut_off()

    def _detach(self) -> None:
        session = self._session
        self._go(LifeEvent.DETACH)
        self.link.connection.failure = None  # that the connection is lost is no failure
        self._close_after = self._close_after or self.link.close_after
        session._inbox.undecoded = 0
        session._inbox.count()
        self.writer.detach()
        self._start_window()
        if self._listener is not None:
            self._guard(self._listener.on_detach, session)
        self._observers.session_detached(session)
        if self.on_detached is not None and self.stage is LifeStage.DETACHED:
            self.on_detached()

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
        if self.stage is not LifeStage.DETACHED:
            raise self.closed_error()
        assert journal is not None
        journal.rewind(peer_received)
        self._stop_window()
        self._go(LifeEvent.ATTACH)
        self.link = link = self._connect(session._renew(request, negotiation, self._observers))
        link.follow(before)
        link.attach(transport)
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
        if self.stage is LifeStage.DETACHED:
            self.link.connection.failure = error
            self._end()

    def _end_soon(self) -> None:
        """End a session that has no connection, not from within its or a room's own code."""
        if self.stage is LifeStage.DETACHED:
            asyncio.get_running_loop().call_soon(self.abort)

    # --- what the link tells ------------------------------------------------------------------

    def closing(self, *, more: bool) -> None:
        """The closing handshake has begun; ``more`` says whether the peer may still send data."""
        if self.stage in (LifeStage.NEW, LifeStage.RELEASED):
            return
        self._go(LifeEvent.CLOSE)
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
        self._go(LifeEvent.LOSE)
        self._stop_window()
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
        # Nothing that has ended keeps the session: it is freed as soon as the application lets go.
        self.link.release(error)
        session._forget()
        self._session = self.on_detached = None
        if self.journal is not None:
            self.journal.session = self.journal.drop = None
            self.journal.queue = ()

    def _guard(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except ConnectionClosed:
            pass
        except Exception as error:
            logger.error("session %s: %r failed", self.id, callback, exc_info=error)

    def closed_error(self) -> ConnectionClosed:
        """What is raised once the session has ended."""
        return closed_error(self.close_info)

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended."""
        return self.info or self.link.connection.close_info()

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, for whatever reason."""
        if self.info is not None:
            return self.info
        waiter: asyncio.Future[CloseInfo] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            if self._waiters is not None:
                self._waiters.remove(waiter)

    def add_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have a function called once, when the session has ended; at once if it has."""
        if self.info is not None:
            callback(self.info)
        elif self._callbacks is None:
            self._callbacks = {callback: None}
        else:
            self._callbacks[callback] = None

    def remove_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have it not called; nothing happens if it would not be."""
        if self._callbacks is not None:
            self._callbacks.pop(callback, None)

    # --- tasks --------------------------------------------------------------------------------

    def create_task(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Run a coroutine beside the handler; see `Session.create_task`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        if self._tasks is None:
            self._tasks = {}
        self._tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if self._tasks is not None:
            self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.end_with(error, f"task {task.get_name()}")

    async def wait_freed(self) -> None:
        """Wait until the codecs are closed whose `close` is asynchronous."""
        if self._closing is not None:
            await asyncio.wait({self._closing})

    async def release(self) -> None:
        """The handler is done: cancel what `create_task` started, and wait for it and for codecs
        that take a little longer to close."""
        while tasks := [task for task in self._tasks or () if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._closing is not None:
            await self._closing
        if self.stage is LifeStage.ENDED:
            self._go(LifeEvent.RELEASE)

    # --- writing ------------------------------------------------------------------------------

    @property
    def writer(self) -> Writer:
        """What the session's messages pass that cannot be sent at once; made when it is needed."""
        if self._writer is None:
            self._writer = Writer(self.link, self)
        return self._writer

    def wake_writers(self) -> None:
        """The peer has read."""
        if self._writer is not None or self.journal is not None:
            self.writer.wake()
        self._resume_listener()

    def finish_writing(self) -> bool:
        """Write what was accepted before a close; ``False`` if that takes a little longer."""
        return self._writer is None or self._writer.finish()

    async def wait_written(self) -> None:
        """Wait until nothing waits in the outbox, or the session has ended."""
        if self._writer is not None:
            await self._writer.wait_empty()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were sent and that the operating system has not taken yet."""
        return self.outbox_bytes + self.link.unwritten

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait to be handed to the connection."""
        return 0 if self._writer is None else self._writer.outbox.size

    @property
    def dropped(self) -> int:
        """Messages of the application that were dropped by the policy ``drop-oldest``."""
        return 0 if self._writer is None else self._writer.dropped

    # --- reading ------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """The application has read enough for more to be decoded."""
        self.link.go_on_soon()

    def wait_for_listener(self) -> None:
        """A listener has sent more than the peer reads: read nothing more until that has left.

        If the peer has to acknowledge something first, reading goes on: that comes behind messages,
        which wait in the inbox.
        """
        if not self._is_listener_ahead():
            return
        self._is_listener_waiting = True
        if self._is_held:
            self._is_diverted = True
            self._session._on_message = None
        else:
            self.link.stall()

    def _is_listener_ahead(self) -> bool:
        writer = self._writer
        return self.link.is_paused or (writer is not None and writer.has_own)

    @property
    def _is_held(self) -> bool:
        """Whether the journal lets nothing new be sent."""
        return self.journal is not None and self.journal.is_holding

    def _resume_listener(self) -> None:
        """Let a listener that had to wait have messages again, if it need not wait any more."""
        if not self._is_listener_waiting or self._session is None:
            return
        if self._is_listener_ahead():
            self.wait_for_listener()
            if self._is_diverted:
                self.link.go_on_soon()
            return
        self._is_listener_waiting = False
        session, listener = self._session, self._listener
        if self._is_diverted and listener is not None:
            self._is_diverted = False
            session._on_message = listener.on_message
            while len(session._inbox) and not self._is_diverted and not self.failed:
                self.link.deliver(session._inbox.pop_message())
        self.link.go_on_soon()

    def filled(self) -> None:
        """Nothing new may be sent until the peer has acknowledged some of what was sent: go on
        reading to find that."""
        if self.link.is_stalled:
            self.link.go_on_soon()

    def overflow(self) -> None:
        """The inbox has passed its bounds."""
        link = self.link
        state = link.connection.state
        policy = self.options.incoming_overflow
        inbox: Inbox = self._session._inbox
        if policy == "drop-oldest":
            inbox.drop_oldest()
        elif state is State.CLOSE_SENT:
            # After our own Close nobody may be reading any more, and the peer's has to be found.
            inbox.refuse()
        elif policy == "close" and not inbox.is_over:
            pass  # just full
        elif policy == "close":
            link.fail(LocalProtocolError("messages come too fast", CloseCode.TRY_AGAIN_LATER))
        elif state is State.OPEN and not (self._is_held and self._has_spare_room(inbox)):
            link.stall()

    def _has_spare_room(self, inbox: Inbox) -> bool:
        """Whether messages may pass the bounds of the inbox, so that the acknowledgements behind
        them are found. The peer sends no more without one than its own journal may keep, which is
        taken to be as much as this one may, or as usual."""
        journal, options = self.journal, self.options
        assert journal is not None
        return len(inbox) < options.incoming_capacity + max(
            journal.max_messages, _USUAL.max_messages
        ) and inbox.size < options.incoming_bytes + max(journal.max_bytes, _USUAL.max_bytes)

    @property
    def is_idle(self) -> bool:
        """Whether the handler has dealt with all that was received: it waits for the next message,
        or there never was one."""
        session = self._session
        if session is None:
            return True
        inbox = session._inbox
        if len(inbox) or self.link.connection.has_more:
            return False
        return (
            inbox.is_awaited() or self._listener is not None or not self.link.connection.messages_in
        )

    @property
    def progress(self) -> Progress:
        """What has happened so far, by the counters that limits are about."""
        link = self.link
        connection = link.connection
        stuck = link.stuck_bytes
        if self.journal is not None and self.journal.is_full and self.is_connected:
            stuck = stuck or self.outbox_bytes
        return Progress(connection.frames_in, connection.pings_in, stuck, link.resumed)


def forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an exception that was logged: their frames refer to the session."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
