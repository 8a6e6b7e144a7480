"""What happens for every read of a connection: what comes is decoded, and delivered to the session.

Runs as it is, and compiled. `wsext.runtime.link` adds what is rarer.
"""

from __future__ import annotations

import threading
from typing import Any

from wsext.protocol.connection import Connection
from wsext.protocol.frames import Message
from wsext.protocol.states import State
from wsext.runtime.net import fills_at_once
from wsext.runtime.session_path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.turns import SLICE, Turns, turns_of
from wsext.runtime.write_path import WritePath

__all__ = ["READ_SIZE", "ReadPath"]

_OPEN = State.OPEN

#: Bytes that are read at once, at most.
READ_SIZE = 1 << 18


class _Shared(threading.local):
    """A buffer that all connections of a thread's event loop read into: what is read is handled
    before anything else is, and a read of 64 bytes must not cost an allocation of the most that
    could have come."""

    def __init__(self) -> None:
        self.buffer = bytearray(READ_SIZE)
        self.view = memoryview(self.buffer)


_shared = _Shared()

#: How often a connection looks at the clock in one turn, at most.
_ROUNDS = 64

#: How many messages a listener is given until it looks at the clock.
_LISTENED = 8

#: Reads and messages of so many bytes are worth a look at the clock: a full record of TLS is one.
_LARGE = 1 << 14

#: Seconds that it has taken to hand a byte over, about; with TLS also to decrypt it. They are part
#: of a turn, although they are over before it begins: an event loop may read from a socket many
#: times in one pass.
_PER_BYTE = 3e-10
_PER_TLS_BYTE = 4e-9


class ReadPath(WritePath):
    """The per-read part of a link.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
    """

    __slots__ = (
        "_active",
        "_buffer",
        "_grows",
        "_has_read",
        "_heard",
        "_in_place",
        "_per_byte",
        "_pulling",
        "_session",
        "_stalled",
        "_turns",
        "_view",
        "acks_later",
        "has_acked",
        "is_queued",
        "last",
        "resumed",
        "used",
    )

    def __init__(self, connection: Connection, options: WebSocketOptions) -> None:
        WritePath.__init__(self, connection, options)
        self._session: SessionPath | None = None  # who gets what is received
        if fills_at_once(self._loop):
            self._buffer = _shared.buffer
            self._view: memoryview | bytearray = _shared.view
        else:
            self._buffer = bytearray(READ_SIZE // 4)
            self._view = memoryview(self._buffer)
        self._turns: Turns = turns_of(self._loop)
        self.used = 0.0
        self.last = 0.0 if connection.pipeline.passive else SLICE
        self.is_queued = False
        self._per_byte = _PER_BYTE  # seconds before a read, for each of its bytes
        self._stalled = False  # nothing more is decoded: the application has enough for now
        self._pulling = False
        self._heard = False  # since the last ping
        self._active: dict[Any, None] | None = None  # see `watch`
        self._has_read = False  # since the last look
        self._in_place = False  # the buffer that was asked for is the payload's own
        self._grows = False  # a small read has become much, or many messages
        self.acks_later = False  # whether `acknowledge_later` was asked
        self.has_acked = False  # since then
        self.resumed = 0  # how often the peer has made room again

    def bind(self, transport: Any) -> None:
        """Learn how a transport wants to be used."""
        WritePath.bind(self, transport)
        if transport.get_extra_info("ssl_object") is not None:
            self._per_byte = _PER_TLS_BYTE
        if self._write != transport.write:  # aiofastnet
            # It looks into an array without asking for a view. (Others may take slices of it.)
            self._view = self._buffer

    # --- reading ------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        """As of an asyncio.BufferedProtocol."""
        room = self.connection.room()
        self._in_place = room is not None
        # Into the payload itself there is no copy of the rest of a large payload.
        return self._view if room is None else room

    def buffer_updated(self, nbytes: int) -> None:
        """As of an asyncio.BufferedProtocol."""
        if self._in_place:
            self._in_place = False
            self._read(None, nbytes)
        else:
            self._read(self._buffer, nbytes)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._read(data, len(data))

    def watch(self, active: dict[Any, None] | None) -> None:
        """Put the session there whenever something may have happened that is worth a look; with
        ``None``, nowhere any more."""
        self._active = active
        self.note()

    def note(self) -> None:
        """Something has happened that may be worth a look."""
        if self._active is not None and self._session is not None:
            self._active[self._session] = None

    def _read(self, data: bytes | bytearray | None, size: int) -> None:
        self._heard = True
        if not self._has_read:
            self._has_read = True
            self.note()
        self._begin_turn()
        turns = self._turns
        if (
            self.is_async
            or self._stalled
            or self._pulling
            or turns.is_spent
            or (turns.is_full and self._has_to_wait())
        ):
            self.store(data, size)
            return
        connection = self.connection
        # What is small takes no longer than it took to arrive, until an extension makes much of it.
        is_light = size < _LARGE and not self._grows
        began = 0.0 if is_light else turns.clock() - size * self._per_byte
        self._gathering = self._pulling = True
        try:
            event = connection.receive(data, size)
            if connection.has_more or (event is not None and type(event) is not Message):
                self._pull(event, began)
            else:  # as in most reads
                if event is not None:
                    if self._session is not None:
                        self._session._deliver_one(event)
                    message = event
                    size = max(size, message.size)
                if size >= _LARGE:
                    if began > 0:
                        turns.charge(self, began)
                    else:
                        self._grows = not connection.pipeline.passive
        finally:
            self._gathering = self._pulling = False
        session = self._session
        if session is not None and (
            session._inbox._head is not None or connection.has_more or session._inbox.is_counted
        ):
            self._count()
        self._end_read()

    def go_on(self) -> None:
        """Deliver what has come and was not delivered yet, until the application has enough."""
        if self._pulling or self.is_lost:
            return
        connection = self.connection
        self._stalled = False
        self._gathering = self._pulling = True
        try:
            began = self._turns.clock()
            connection.new_turn()
            self._pull(connection.next_event(), began)
        finally:
            self._gathering = self._pulling = False
        self._count()
        self._end_read()

    def _end_read(self) -> None:
        """Send what the events of a read have led to."""
        journal = self.connection.journal
        if journal is not None and (journal.is_ack_near or not self.acks_later):
            self._acknowledge()
        self._finish()

    def _acknowledge(self) -> None:
        """Tell the peer what was taken, when it is time; else have a look later."""
        journal = self.connection.journal
        assert journal is not None
        if journal.is_ack_due():
            self.connection.send_ack()
            self.has_acked = True
        if not self.acks_later and journal.is_untold():
            self.acknowledge_later()

    def _pull(self, event: Any, began: float) -> None:
        """Deliver an event, and those after it while the application has room for them.

        Readers are resumed once for all messages that have come together, and before a Close frame
        or a fault takes effect: so they can still answer what came before it.

        Args:
            event: The event.
            began: When this turn began; 0 if it has hardly begun.
        """
        connection = self.connection
        turns = self._turns
        rounds = 0
        session = self._session
        listens = session is not None and session._on_message is not None
        while True:
            count = 0
            while event is not None:
                if type(event) is Message or (session is not None and session._raw):
                    count += 1
                self._hand_over(event)
                if self._stalled or not connection.has_more or turns.is_full:
                    break
                if listens and count % _LISTENED == 0:  # whatever the application does with one
                    if began <= 0:
                        began = turns.clock()
                    elif turns.is_over(began):
                        self.take_turns()
                        break
                event = connection.next_event()
            if count and session is not None:
                session._inbox.wake(count)
            if self._stalled or not connection.has_more:
                break
            if turns.is_full and self._has_to_wait():
                self.wait_for_room()
                break
            if connection.is_turn_over:
                rounds += 1
                if began <= 0:
                    began = turns.clock()
                    self._grows = not connection.pipeline.passive
                elif rounds >= _ROUNDS or turns.is_over(began):
                    self.take_turns()
                    break
                connection.new_turn()
            event = connection.next_event()
        if began > 0:
            turns.charge(self, began)
        if connection.has_more:
            connection.keep()

    def _count(self) -> None:
        """Count what is left at the end of a read."""
        session = self._session
        if session is not None:
            connection = self.connection
            inbox = session._inbox
            if connection.has_more:
                joined = connection.pipeline.joined_bytes  # an interceptor may have them for long
                inbox.undecoded = connection.undecoded_bytes + joined
            else:
                inbox.undecoded = 0
            inbox.count()

    def _has_to_wait(self) -> bool:
        """Whether the session gets no more for now, since too much waits in all of them.

        A session for which nothing waits always gets something; and once a Close frame was sent,
        the peer's has to be found.
        """
        session = self._session
        return (
            self._turns.is_full
            and session is not None
            and session._inbox._head is not None
            and self.connection.state is _OPEN
        )

    def deliver(self, event: Any) -> None:
        """Hand an event to the session, and resume who waits for it."""
        self._hand_over(event)
        if self._session is not None:
            self._session._inbox.wake(1)

    def _hand_over(self, event: Any) -> None:
        session = self._session
        if type(event) is Message:
            if session is not None:
                session._deliver(event)
        else:
            frame = event
            if frame.opcode == 10:
                self.take_pong(bytes(frame.payload))
            elif frame.opcode > 10:
                journal = self.connection.journal
                if journal is not None and frame.opcode == journal.opcode:
                    self.resumed += 1
                    if self.queueing:
                        self.write_on()
                    return
            if session is not None and session._raw:
                session._deliver(frame)

    def acknowledge(self) -> None:
        """Tell the peer what was taken, if it is time; there has to be a journal."""
        self._acknowledge()

    # --- what is rarer ------------------------------------------------------------------------

    def store(self, data: bytes | bytearray | None, size: int) -> None:
        """Keep what has come until it can be decoded."""
        raise NotImplementedError

    def take_turns(self) -> None:
        """Let other connections have their turn, then go on."""
        raise NotImplementedError

    def wait_for_room(self) -> None:
        """Go on when less waits in all sessions, or nothing in this one."""
        raise NotImplementedError

    def take_pong(self, payload: bytes) -> None:
        """A pong has come."""
        raise NotImplementedError

    def write_on(self) -> None:
        """There may be room for more to be sent."""
        raise NotImplementedError

    def acknowledge_later(self) -> None:
        """Look again in half a second whether there is something to acknowledge."""
        raise NotImplementedError
