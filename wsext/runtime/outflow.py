"""What leaves a session: messages are taken out of the outbox, and the connection gets them.

They leave when the peer has read, when a streamed message is complete, when an asynchronous codec
is done. A message is taken out only to be finished: whoever sent it can give up before that, and
never in the middle. `Writer` adds how messages come in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from wsext.errors import LocalProtocolError, ProtocolError
from wsext.escape import get_logger
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Frame
from wsext.protocol.journal import Journal, data_of, frame_of
from wsext.protocol.prepared import PreparedMessage
from wsext.runtime.link import Link
from wsext.runtime.loop import start
from wsext.runtime.outbox import Outbox, Waiting

__all__ = ["STREAM", "Outflow", "Sending", "hand_over"]

logger = get_logger("wsext.session")

#: Stands in the outbox for a streamed message: when it is its turn, its sender goes on.
STREAM = object()


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


def hand_over(connection: Connection, data: Frame | PreparedMessage) -> None:
    """Give a connection without asynchronous codecs what is to be sent next.

    Raises:
        ProtocolError: If a codec fails; the connection is failed.
    """
    if not isinstance(data, PreparedMessage):
        connection.send_frame(data)
        return
    wire = connection.share_message(data)
    if wire is not None:
        connection.send_shared(wire)
    else:
        connection.send_message(data.data, data.hints, data.meta)


class Outflow:
    """Empties the outbox of a session.

    Args:
        link: The connection of the session.
        owner: The life of the session.

    Attributes:
        outbox: What waits.
        is_detached: Whether there is no connection just now: everything waits for the next one.
    """

    def __init__(self, link: Link, owner: Sending) -> None:
        self.outbox = Outbox()
        self.is_detached = False
        self._link = link
        self._owner: Sending = owner
        self._journal = owner.journal
        self._streaming: Waiting | None = None  # the streamed message that is half way
        self._fragment: Waiting | None = None  # of the streamed message, for an asynchronous codec
        self._pump: asyncio.Task[None] | None = None
        self._encoding: Waiting | None = None  # what an asynchronous codec has
        self._writable: list[asyncio.Future[None]] = []
        self._empty: list[asyncio.Future[None]] = []

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
        if entry.data is STREAM:
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
        link = self._link
        try:
            hand_over(link.connection, entry.data)
        finally:
            if self._is_held:
                link.fill()
            link.soon()

    # --- an asynchronous codec ----------------------------------------------------------------

    def _start_pump(self) -> None:
        if self._pump is None and self._has_work:
            self._pump = start(asyncio.get_running_loop(), self._run_pump())

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
        if entry.data is STREAM:
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
            if entry.waiter is None and entry.data is not STREAM
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
