"""The one way out of a session: everything that it sends passes its `Writer`, or did not have to.

The fast path (`wsext.runtime.write_path`) sends at once while nothing waits. What cannot be sent at
once waits in the outbox, and leaves from there in order: when the peer has read, when a streamed
message is complete, when an asynchronous codec is done. A message is taken out of the outbox only
to be finished: whoever sent it can give up before that, and never in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable, Mapping
from typing import Any, Protocol

from wsext.errors import LocalProtocolError, ProtocolError, QueueFull
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Data, Frame
from wsext.protocol.journal import Journal, data_of, frame_of
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.wire import to_payload
from wsext.runtime.link import Link
from wsext.runtime.outbox import Lane, Outbox, Waiting

__all__ = ["Writer"]

logger = get_logger("wsext.session")

Mapped = Mapping[str, Any] | None

#: Stands in the outbox for a streamed message: when it is its turn, its sender goes on.
_STREAM = object()


class Sending(Protocol):
    """Whose messages they are: the life of a session."""

    journal: Journal | None

    @property
    def is_open(self) -> bool: ...
    def closed_error(self) -> BaseException: ...
    def fail(self, error: ProtocolError) -> None: ...


class _Nobody:
    """Whose messages they are once the session has ended.

    Args:
        closed_error: Makes what is raised by whoever still sends.
    """

    journal: Journal | None = None
    is_open = False

    def __init__(self, closed_error: Callable[[], BaseException]) -> None:
        self.closed_error = closed_error

    def fail(self, error: ProtocolError) -> None:
        """There is nothing left to fail."""


class Writer:
    """The outbox of a session, and who empties it.

    Args:
        link: The connection of the session.
        owner: The life of the session.

    Attributes:
        outbox: What waits.
        is_detached: Whether there is no connection just now: everything waits for the next one.
    """

    def __init__(self, link: Link, owner: Sending) -> None:
        options = link.options
        self.outbox = Outbox()
        self.is_detached = False
        self._link = link
        self._owner: Sending = owner
        self._journal = owner.journal
        self._lane = Lane(options.outgoing_overflow, options.outgoing_bytes)
        self._streaming: Waiting | None = None  # the streamed message that is half way
        self._fragment: Waiting | None = None  # of the streamed message, for an asynchronous codec
        self._pump: asyncio.Task[None] | None = None
        self._encoding: Waiting | None = None  # what an asynchronous codec has
        self._writable: list[asyncio.Future[None]] = []
        self._empty: list[asyncio.Future[None]] = []

    @property
    def dropped(self) -> int:
        """Messages of the application that were dropped by the policy."""
        return self._lane.dropped

    @property
    def has_own(self) -> bool:
        """Whether messages of the application wait, and not only those of rooms."""
        return bool(self._lane.entries)

    # --- putting in ---------------------------------------------------------------------------

    async def send(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        """Send a message and wait until it is on its way; see `Session.send`."""
        if isinstance(data, AsyncIterable):
            await self._send_stream(data, hints, meta)
            return
        entry = _entry(data, hints, meta)
        if self._link.has_had_turn:
            await asyncio.sleep(0)
            self._link.begin_turn()
        if self._try_now(entry):
            return
        if self._lane.policy == "suspend":
            await self._wait_in(entry)
        else:
            self._put(entry)

    async def _wait_in(self, entry: Waiting) -> None:
        """Put an entry into the outbox and wait until it was taken out."""
        entry.waiter = asyncio.get_running_loop().create_future()
        try:
            self._put(entry)
            await entry.waiter
        except asyncio.CancelledError:
            self.outbox.remove(entry)  # else it is on its way, and is finished
            self._update()
            raise
        finally:
            entry.waiter = None  # it has the error, whose traceback has this frame

    def queue(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        """Send a message without waiting; see `Session.send_nowait`."""
        entry = _entry(data, hints, meta)
        if not self._try_now(entry):
            self._put(entry)

    def _try_now(self, entry: Waiting) -> bool:
        """Send at once if nothing waits; ``False`` if something does.

        Raises:
            ConnectionClosed: If nothing may be sent any more.
        """
        if not self._owner.is_open:
            raise self._owner.closed_error()
        if self.is_detached or self._link.blocked:
            return False
        self._write(entry)
        return True

    def _put(self, entry: Waiting) -> None:
        lane = self._lane
        if self.outbox.put(lane, entry):
            self._update()
        elif lane.policy == "suspend":
            waiting = self.outbox.size + self._link.unwritten
            raise QueueFull(f"{waiting} bytes wait for the peer to read")
        else:
            raise self._overflow(lane)

    def put(
        self, lane: Lane, message: PreparedMessage, most: int, key: Hashable | None = None
    ) -> None:
        """Put in a message of somebody else's lane, a room's; never raises and never waits.

        Args:
            lane: Whose message it is.
            message: The message.
            most: Bytes of all lanes that may wait with it, whatever their policies.
            key: As for `Outbox.put`.
        """
        link, entry = self._link, Waiting(message, message.size)
        if not self._owner.is_open:
            return
        if not (link.blocked or self.is_detached):
            try:
                self._write(entry)
            except ProtocolError as error:  # the session has failed; the room goes on
                logger.debug("a broadcast failed a session: %s", error)
        elif self._has_room(entry, most) and self.outbox.put(lane, entry, key):
            self._update()
        else:
            lane.lose("slow_closed")
            self.outbox.drop(lane)
            slow = LocalProtocolError("reads too slowly", CloseCode.TRY_AGAIN_LATER)
            if self.is_detached:
                self._owner.fail(slow)
                return
            link.connection.failure = link.connection.failure or slow
            link.send_close(slow.code, slow.reason)

    def _has_room(self, entry: Waiting, most: int) -> bool:
        return not self.outbox or self.outbox.size + entry.size <= most

    def _overflow(self, lane: Lane) -> LocalProtocolError:
        """Close with 1013: the peer reads too slowly. The error to raise is returned."""
        self.outbox.drop(lane)
        error = LocalProtocolError("peer reads too slowly", CloseCode.TRY_AGAIN_LATER)
        self._owner.fail(error)
        return error

    # --- taking out ---------------------------------------------------------------------------

    def _update(self) -> None:
        """Have new messages queue while others wait, and take out what can leave."""
        link = self._link
        if self.is_detached:
            return
        waits = self._streaming is not None or bool(self.outbox) or self._is_held
        link.queueing = link.is_async or waits
        if link.is_async:
            self._start_pump()
        if not self.outbox:
            _wake(self._empty)

    def wake(self) -> None:
        """The peer has read: send what waits while it reads more."""
        self._write_waiting(patient=True)
        _wake(self._writable)  # each looks whether it may go on

    def _write_waiting(self, *, patient: bool) -> None:
        """Send what waits; if patient, only while the peer reads."""
        link = self._link
        if self.is_detached:
            return
        if not link.is_async:
            self._write_again(patient=patient)
            while self.outbox and self._streaming is None:
                if not link.connection.is_open:
                    self.outbox.clear(self._owner.closed_error)
                    break
                if patient and (link.is_paused or self._is_held):
                    break
                self._take_out()
        self._update()

    @property
    def _is_behind(self) -> bool:
        """Whether something has to be sent again, before anything else."""
        journal = self._journal
        return journal is not None and journal.is_behind and self._link.connection.is_open

    @property
    def _is_held(self) -> bool:
        """Whether the journal lets nothing new be sent."""
        return self._journal is not None and self._journal.is_holding

    def _write_again(self, *, patient: bool) -> None:
        """Send again what the peer has not received; if patient, only while it reads."""
        link = self._link
        while self._is_behind:
            if patient and link.is_paused:
                break
            try:
                link.connection.send_again()
            except ProtocolError as error:  # the connection has failed
                logger.debug("what was sent before cannot be sent again: %s", error)
                link.soon()
            link.write_out()

    def _take_out(self) -> None:
        entry = self.outbox.pop()
        if entry.data is _STREAM:
            self._streaming = entry
            entry.settle()
            return
        try:
            self._write(entry)
        except ProtocolError as error:  # the connection has failed
            entry.settle(error)
        else:
            self._link.write_out()  # the transport has to say in time that it has enough
            entry.settle()

    def _write(self, entry: Waiting) -> None:
        """Hand a message to the connection; no codec is asynchronous.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        link, data = self._link, entry.data
        connection = link.connection
        try:
            if isinstance(data, PreparedMessage):
                wire = connection.share_message(data)
                if wire is not None:
                    connection.send_shared(wire)
                else:
                    connection.send_message(data.data, data.hints, data.meta)
            else:
                connection.send_frame(data)
        finally:
            if self._is_held:
                link.fill()
            link.soon()

    # --- an asynchronous codec ----------------------------------------------------------------

    def _start_pump(self) -> None:
        if self._pump is None and self._has_work:
            self._pump = asyncio.get_running_loop().create_task(self._run_pump())

    @property
    def _has_work(self) -> bool:
        return self._next() is not None or self._is_behind

    def _next(self) -> Waiting | None:
        """What the codecs get next: the streamed message has no other message in it."""
        if self._streaming is not None:
            return self._fragment
        return self.outbox.first()

    async def _run_pump(self) -> None:
        """Encode one message after the other.

        This is a task of its own, so that cancelling whoever sends never interrupts a codec.
        """
        link = self._link
        try:
            while self._has_work and not link.is_lost:
                if not link.connection.is_open:
                    self._give_up()
                    break
                if link.is_paused or (self._is_held and not self._is_behind):
                    await _wait(self._writable)
                    continue
                if self._is_behind:
                    await self._encode_again(link)
                    continue
                entry = self._next()
                assert entry is not None
                if entry is self._fragment:
                    self._fragment = None
                else:
                    self.outbox.pop()
                self._encoding = entry
                await self._encode(entry)
                if self._link is not link or link.is_lost:
                    return
                self._encoding = None
        finally:
            if self._pump is asyncio.current_task():
                self._pump = None
        link.write_on()
        if not link.is_open and not self.outbox and self._streaming is None:
            link.close_if_due()

    async def _encode_again(self, link: Link) -> None:
        """Encode the next of what has to be sent again."""
        try:
            await link.connection.asend_again()
        except ProtocolError as error:  # the connection has failed
            logger.debug("what was sent before cannot be sent again: %s", error)
        link.write_out()
        link.progress_close()
        if not self._is_behind:
            _wake(self._writable)  # a streamed message goes on

    async def _encode(self, entry: Waiting) -> None:
        link = self._link
        if entry.data is _STREAM:
            self._streaming = entry
            entry.settle()
            return
        try:
            sent = await link.connection.asend_frame(frame_of(entry.data))
        except ProtocolError as error:
            if self._has(link):
                entry.settle(error)
                link.write_out()
                link.progress_close()
        except BaseException:
            if self._has(link):
                entry.settle(self._owner.closed_error())
                if not link.is_lost:  # not of a codec, whose faults are the pipeline's
                    link.fail(LocalProtocolError("encoding failed"))
            raise
        else:
            if self._has(link):
                link.write_out()
                entry.settle(None if sent else self._owner.closed_error())

    def _has(self, link: Link) -> bool:
        """Whether a connection still has what its codecs got; else the next one sends it. A codec
        need not obey when it is cancelled."""
        return self._link is link and not self.is_detached

    # --- streamed messages --------------------------------------------------------------------

    async def _send_stream(self, chunks: AsyncIterable[Data], hints: Mapped, meta: Mapped) -> None:
        iterator = aiter(chunks)
        first = await anext(iterator, None)
        if first is None:
            return
        await self._begin_stream()
        try:
            opcode, payload = to_payload(first)
            await self._send_fragment(Frame(opcode, payload, False, 0, hints, meta))
            await self._send_rest(iterator, opcode)
        except BaseException:
            if self._is_halfway:
                # A codec has half a message, or the peer; nothing can take it back.
                self._owner.fail(LocalProtocolError("message was not finished"))
            raise
        finally:
            self._end_stream()

    @property
    def _is_halfway(self) -> bool:
        """Whether the streamed message has begun, on this connection or on an earlier one."""
        connection, journal = self._link.connection, self._journal
        if journal is not None and (self.is_detached or journal.is_behind):
            return journal.is_halfway
        return connection.is_halfway and connection.is_open

    async def _send_rest(self, chunks: AsyncIterator[Data], opcode: int) -> None:
        async for chunk in chunks:
            kind, payload = to_payload(chunk)
            if kind != opcode:
                raise TypeError("a streamed message is all text or all binary")
            await self._send_fragment(Frame(Opcode.CONTINUATION, payload, False))
        await self._send_fragment(Frame(Opcode.CONTINUATION, b"", True))

    async def _begin_stream(self) -> None:
        """Wait until it is this message's turn; no other is sent until `_end_stream`."""
        if not self._owner.is_open:
            raise self._owner.closed_error()
        if not self.outbox and self._streaming is None and self._encoding is None:
            self._streaming = Waiting(_STREAM, 0)
            self._update()
            return
        entry = Waiting(_STREAM, 0)
        try:
            await self._wait_in(entry)
        except asyncio.CancelledError:
            if self._streaming is entry:
                self._end_stream()  # its turn had come
            raise

    async def _send_fragment(self, frame: Frame) -> None:
        await self.wait_writable()
        if not self._owner.is_open:
            raise self._owner.closed_error()
        entry = Waiting(frame, len(frame.payload))
        if not self._link.is_async:
            self._write(entry)
            return
        self._fragment = entry
        entry.waiter = asyncio.get_running_loop().create_future()
        self._start_pump()
        try:
            await entry.waiter
        finally:
            entry.waiter = None  # as above

    def _end_stream(self) -> None:
        self._streaming = None
        self._fragment = None
        self._write_waiting(patient=True)

    async def send_frame(self, frame: Frame) -> None:
        """Send one frame as it is; see `Session.send_frame`."""
        await self.wait_writable()
        link = self._link
        if link.connection.ended or not (frame.is_control or link.is_open):
            raise self._owner.closed_error()
        if link.is_async and not frame.is_control:
            await self._wait_in(Waiting(frame, len(frame.payload)))
            return
        try:
            link.connection.send_frame(frame)
        finally:
            if self._is_held:
                link.fill()
            link.soon()

    # --- waiting ------------------------------------------------------------------------------

    async def wait_writable(self) -> None:
        """Wait until more can be sent: the peer has read and acknowledged enough, and there is a
        connection; or until there will be none."""
        while self.is_detached or (
            not self._link.is_lost and (self._link.is_paused or self._is_held)
        ):
            await _wait(self._writable)

    async def wait_empty(self) -> None:
        """Wait until nothing waits in the outbox, or the session has ended."""
        while self.is_detached or (
            not self._link.is_lost and (self.outbox or self._pump is not None or self._is_behind)
        ):
            await _wait(self._empty)

    async def flush(self) -> None:
        """Wait until everything sent so far is with the operating system."""
        link: Link | None = None
        while link is not self._link:  # another connection sends it again
            await self.wait_empty()
            link = self._link
            await link.flush(lambda: _wait(self._writable))

    # --- the end ------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Write what was accepted before a close; ``False`` if a codec needs longer for that."""
        if self._link.is_async:
            return self._pump is None
        if self._streaming is not None:
            self.outbox.clear(self._owner.closed_error)  # no message may stand in another one
        self._write_waiting(patient=False)
        return True

    def end(self, closed_error: Callable[[], BaseException]) -> None:
        """The connection is gone, and there will be no other: nobody waits any longer."""
        self._owner = _Nobody(closed_error)
        self.is_detached = False
        self._give_up()
        if self._pump is not None:
            self._pump.cancel()
        if self._encoding is not None:  # a codec need not obey; nobody waits for it
            self._encoding.settle(self._owner.closed_error())
        _wake(self._writable)
        _wake(self._empty)

    def _give_up(self) -> None:
        """Nothing that waits can be sent any more."""
        self.outbox.clear(self._owner.closed_error)
        fragment, self._fragment = self._fragment, None
        if fragment is not None:
            fragment.settle(self._owner.closed_error())

    def unsent(self) -> list[str | bytes]:
        """The messages that wait and whose senders do not: those are told themselves."""
        return [
            data_of(entry.data)
            for entry in self.outbox
            if entry.waiter is None and entry.data is not _STREAM
        ]

    def detach(self) -> None:
        """The connection is gone, and another one is to come."""
        self.is_detached = True
        pump, self._pump = self._pump, None
        entry, self._encoding = self._encoding, None
        if pump is not None:
            pump.cancel()
        if entry is not None and self._streaming is not None:
            self._fragment = entry
        elif entry is not None:
            self.outbox.put_back(entry)

    def attach(self, link: Link) -> None:
        """Go on with another connection: what waits is sent there."""
        self._link = link
        self.is_detached = False
        self._write_waiting(patient=True)
        _wake(self._writable)


def _entry(data: Any, hints: Mapped, meta: Mapped) -> Waiting:
    """A message as an entry of the outbox.

    Raises:
        TypeError: If it is no message.
    """
    if isinstance(data, PreparedMessage):
        return Waiting(data, data.size)
    opcode, payload = to_payload(data)  # a copy, if the caller may change it meanwhile
    return Waiting(Frame(opcode, payload, True, 0, hints, meta), len(payload))


async def _wait(waiters: list[asyncio.Future[None]]) -> None:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    try:
        await waiter
    finally:
        if waiter in waiters:
            waiters.remove(waiter)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    while waiters:
        waiter = waiters.pop()
        if not waiter.done():
            waiter.set_result(None)
