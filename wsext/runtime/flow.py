"""What a session receives goes to its listener or its inbox, and what it sends to its writer."""

from __future__ import annotations

from typing import Any, cast

from wsext.errors import LocalProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.journal import Journal
from wsext.protocol.states import State
from wsext.runtime.company import Company
from wsext.runtime.inbox import Inbox
from wsext.runtime.link import Link
from wsext.runtime.ports import HasCallbacks, Owner
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.runtime.writing import Writer

__all__ = ["Flow"]

#: A journal with the usual bounds.
_USUAL = Journal()


class Flow(Company):
    """What comes in and goes out in a session's life; `wsext.runtime.life.Life` has it.

    Args:
        session: The session.
        connection: Its first connection's engine.
        options: The options of the session.
        timers: What runs timeouts; by default the event loop.

    Attributes:
        link: Its connection.
        failed: Whether a failure has ended it, or is just ending it.
        journal: What it keeps, if it can be resumed.
    """

    __slots__ = (
        "_is_diverted",
        "_is_listener_waiting",
        "_listener",
        "_session",
        "_timers",
        "_writer",
        "failed",
        "journal",
        "link",
        "options",
    )

    def __init__(
        self,
        session: Any,
        connection: Connection,
        options: WebSocketOptions,
        timers: Timers | None = None,
    ) -> None:
        Company.__init__(self, session.id)
        self.failed = False
        self.journal = connection.pipeline.journal
        self.options = options
        self._session: Any = session
        self._timers = timers
        self._listener: HasCallbacks | None = None
        self._writer: Writer | None = None
        self._is_listener_waiting = False  # until more of what it has sent has left
        self._is_diverted = False  # whether its messages wait in the inbox meanwhile
        session._inbox = Inbox(options.incoming_capacity, options.incoming_bytes, self._read_on)
        if self.journal is not None:
            self.journal.is_started = True
            self.journal.session = session
            self.journal.queue = session._inbox
            session._inbox.is_watched = True
        self.link = self._connect(connection)

    def _connect(self, connection: Connection) -> Link:
        session = self._session
        link = Link(connection, self.options, cast("Owner", self), self._timers)
        session._connection = connection
        session._link = link
        link._session = session
        session._inbox.join(link._turns)
        return link

    # --- writing ------------------------------------------------------------------------------

    @property
    def writer(self) -> Writer:
        """What the session's messages pass that cannot be sent at once; made when it is needed."""
        if self._writer is None:
            self._writer = Writer(self.link, cast("Any", self))
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
