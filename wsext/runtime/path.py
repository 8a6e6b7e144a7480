"""What happens for every read and for every message: the fast path. Runs as it is, and compiled.

`LinkPath` is what a `Link` does per read and per write, `SessionPath` what a `Session` does per
message. Everything rarer is in the modules beside this one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from wsext.errors import ProtocolError
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Data, Frame, Message
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import State
from wsext.runtime.inbox import DONE, Inbox
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.turns import SLICE, Turns, turns_of

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["READ_SIZE", "LinkPath", "Send", "SessionPath"]

_OPEN = State.OPEN

#: Bytes that are read at once, at most.
READ_SIZE = 1 << 18

#: Bytes that are gathered for one write.
_GATHER_AT_MOST = 1 << 16

#: asyncio's writelines() of these versions never asks to pause (CVE-2024-12254).
_NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)

#: Up to this many bytes, chunks are joined for one write; beyond, they are written side by side.
_JOIN_AT_MOST = sys.maxsize if _NEVER_PAUSES else 1 << 14


class _Shared(threading.local):
    """What all connections of a thread's event loop share.

    A buffer to read into: what is read is handled before anything else is, and a read of 64 bytes
    must not cost an allocation of the most that could have come. And the links that have something
    to write before the loop's next turn: one callback serves all of them.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(READ_SIZE)
        self.view = memoryview(self.buffer)
        self.loop: Any = None
        self.dirty: list[LinkPath] = []

    def dirty_of(self, loop: asyncio.AbstractEventLoop) -> list[LinkPath]:
        """The list of a loop; what one that is gone has left does not count."""
        if self.loop is not loop:
            self.loop, self.dirty = loop, []
        return self.dirty


_shared = _Shared()

#: Bytes that a session sends before `send` lets others have their turn: one that sends without ever
#: having to wait would keep the event loop for itself.
_SEND_TURN = 1 << 18

#: How often a connection looks at the clock in one turn, at most.
_ROUNDS = 64

#: How many messages a listener is given until it looks at the clock.
_LISTENED = 8

#: Reads and messages of more bytes are worth a look at the clock.
_LARGE = 1 << 14


def _write_dirty(loop: asyncio.AbstractEventLoop, dirty: list[LinkPath]) -> None:
    links = dirty[:]
    dirty.clear()
    for link in links:
        try:
            link.write_soon()
        except Exception as error:  # of one connection; the others have something to write, too
            loop.call_exception_handler({"message": "writing failed", "exception": error})


class LinkPath:
    """The per-read and per-write part of a link.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
    """

    def __init__(self, connection: Connection, options: WebSocketOptions) -> None:
        self.connection = connection
        self.options = options
        self._session: SessionPath | None = None  # who gets what is received
        self._loop = asyncio.get_running_loop()
        proactor = getattr(asyncio, "ProactorEventLoop", None)
        if proactor is not None and isinstance(self._loop, proactor):
            self._buffer = bytearray(READ_SIZE // 4)  # Windows reads into it in the background
            self._view: memoryview | bytearray = memoryview(self._buffer)
        else:
            self._buffer = _shared.buffer
            self._view = _shared.view
        self._dirty = _shared.dirty_of(self._loop)
        self._turns: Turns = turns_of(self._loop)
        self.used = 0.0
        self.last = 0.0 if connection.pipeline.passive else SLICE
        self.is_queued = False
        self._is_dirty = False
        self._transport: Any = None
        self._write: Any = None
        self.is_async = connection.pipeline.is_async
        self._paused = False  # the transport asks us to stop writing
        # When more bytes than this were sent, the pace has to be asked (`wsext.runtime.pacing`).
        self.free_until = 1 << 62
        # Messages have to take their place in the outbox: some wait there, a streamed message is
        # half way, or a codec is asynchronous.
        self.queueing = self.is_async
        self._stalled = False  # nothing more is decoded: the application has enough for now
        self._pulling = False
        self._gathering = False
        self.turn_until = _SEND_TURN  # when more than this was sent, it is the others' turn
        self._heard = False  # since the last ping
        self._has_read = False  # since `find_reset` has looked
        self._in_place = False  # the buffer that was asked for is the payload's own
        self.is_lost = False
        self.acks_later = False  # whether `acknowledge_later` was asked
        self.has_acked = False  # since then

    def bind(self, transport: Any) -> None:
        """Learn how a transport wants to be used."""
        self._transport = transport
        self._write = transport.write
        if hasattr(transport, "write_nocheck"):  # aiofastnet
            self._write = transport.write_nocheck
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

    def _read(self, data: bytes | bytearray | None, size: int) -> None:
        self._heard = self._has_read = True
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
        # What is small and no extension decodes takes no longer than it took to arrive.
        is_light = size <= _LARGE and connection.pipeline.passive
        began = 0.0 if is_light else turns.clock()
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
                if began > 0 and size > _LARGE:
                    turns.charge(self, began)
        finally:
            self._gathering = self._pulling = False
        session = self._session
        if session is not None and (
            session._inbox._head is not None or connection.has_more or session._inbox.is_counted
        ):
            self._count()
        if connection.journal is not None:
            self._acknowledge()
        if connection.pending_bytes:
            self._write_out()
        if connection.state is not _OPEN:
            self.progress_close()

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
        if connection.journal is not None:
            self._acknowledge()
        if connection.pending_bytes:
            self._write_out()
        if connection.state is not _OPEN:
            self.progress_close()

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
            elif frame.opcode > 10 and self.take_ack(frame):
                return
            if session is not None and session._raw:
                session._deliver(frame)

    # --- writing ------------------------------------------------------------------------------

    @property
    def has_had_turn(self) -> bool:
        """Whether so much was sent in this turn of the event loop that it is the others' turn."""
        return self._sent() > self.turn_until

    def begin_turn(self) -> None:
        """The others have had their turn."""
        self._begin_turn()

    @property
    def blocked(self) -> bool:
        """Whether new data has to wait: for the peer to read, or for what was said before."""
        return self._paused or self.queueing or self._is_ahead()

    def write_out(self) -> None:
        """Hand everything that is ready to the transport, in one write."""
        self._write_out()

    def soon(self) -> None:
        """Write before the event loop's next turn, unless something does earlier."""
        self._soon()

    def acknowledge(self) -> None:
        """Tell the peer what was taken, if it is time; there has to be a journal."""
        self._acknowledge()

    def write_soon(self) -> None:
        """What `soon` asked for."""
        self._is_dirty = False
        self._begin_turn()
        if self.connection.pending_bytes:
            self._write_out()
        if self.connection.state is not _OPEN:
            self.progress_close()

    def send_prepared(self, message: PreparedMessage) -> bool:
        """Send a shared message; ``False`` if something waits or it cannot be shared here.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        connection = self.connection
        if self._paused or self.queueing or connection.wire_bytes_out > self.free_until:
            return False
        try:
            wire = connection.share_message(message)
        except ProtocolError:
            self._soon()  # the connection was failed; its Close frame has to leave
            raise
        if wire is None:
            return False
        connection.send_shared(wire)
        if connection.journal is not None and connection.journal.is_full:
            self.fill()
        self._soon()
        return True

    # Compiled, those with an underscore are calls in C; no subclass may override them.

    def _sent(self) -> int:
        """What the application has said so far, in bytes: 64 for each message, beside its own."""
        connection = self.connection
        said = connection.app_bytes_out + connection.dropped_bytes_out
        return said + 64 * connection.messages_out

    def _begin_turn(self) -> None:
        self.turn_until = self._sent() + _SEND_TURN

    def _send(
        self, data: Data, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send one message now; the link must not be blocked."""
        # First: a codec that fails fails the connection, and its Close frame has to leave, too.
        if not self._gathering and not self._is_dirty:
            self._mark()
        connection = self.connection
        connection.send_message(data, hints, meta)
        if connection.journal is not None and connection.journal.is_full:
            self.fill()
        if connection.pending_bytes > _GATHER_AT_MOST:
            self._write_out()

    def _write_out(self) -> None:
        connection = self.connection
        if self._write is None or self.is_lost:
            return
        if self._transport.is_closing():
            return  # what cannot leave stays there, so that it does not count as sent
        pending = connection.pending_bytes
        output = connection.take_output()
        if not output:
            return
        if type(output) is not list:
            self._write(output)
        elif pending <= _JOIN_AT_MOST:
            self._write(b"".join(output))
        else:
            self._transport.writelines(output)

    def _soon(self) -> None:
        if self.connection.pending_bytes > _GATHER_AT_MOST:
            # Only the transport knows whether the peer reads, so it has to be told in time.
            self._write_out()
        elif not self._gathering and not self._is_dirty:
            self._mark()

    def _mark(self) -> None:
        """Have `write_soon` called before the event loop's next turn."""
        self._is_dirty = True
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(_write_dirty, self._loop, dirty)
        dirty.append(self)

    # --- what is rarer ------------------------------------------------------------------------

    def _is_ahead(self) -> bool:
        """Whether so much is on its way that the peer has to read first."""
        raise NotImplementedError

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

    def take_ack(self, frame: Frame) -> bool:
        """An acknowledgement has come, if it is one: then there may be room for more to be sent."""
        raise NotImplementedError

    def acknowledge_later(self) -> None:
        """Look again in half a second whether there is something to acknowledge."""
        raise NotImplementedError

    def fill(self) -> None:
        """The journal is full: nothing is sent until the peer has acknowledged some of it."""
        raise NotImplementedError

    def progress_close(self) -> None:
        """Do what the connection's state asks of the transport."""
        raise NotImplementedError


@cython.no_gc  # nothing that it refers to refers to it
@cython.freelist(64)
@cython.cclass
class Send:
    """What `Session.send` returns. It sends when it is awaited, as a coroutine would."""

    __slots__ = ("_data", "_hints", "_meta", "_session", "_started", "_steps")

    _data: Any
    _hints: Any
    _meta: Any
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
        self._session = self._data = None
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
        return session._send_slowly(data, hints, meta).__await__()

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


def _new_send(session: SessionPath, data: Any, hints: Any, meta: Any) -> Send:
    sending = Send.__new__(Send)
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
        self._link: LinkPath
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
        return _new_send(self, data, hints, meta)

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
        """Send a shared message if nothing waits; see `LinkPath.send_prepared`."""
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
