"""What the program sends, on its way to the connection: at once, or by a policy.

A message is sent at once while nothing waits. Otherwise it waits in the outbox, and the link's
writer takes it out when the peer has read. It is taken out only to be finished: whoever sent it can
give up before that, and never in the middle.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any

import trio

from wsext.errors import LocalProtocolError, ProtocolError, QueueFull
from wsext.protocol.closing import CloseCode
from wsext.protocol.frames import Data, Frame
from wsext.protocol.journal import frame_of
from wsext.runtime.fragments import send_fragments
from wsext.runtime.outbox import Lane, Outbox, Waiting
from wsext.runtime.outflow import STREAM, hand_over
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.writing import entry_of
from wsext.trio.ports import MessageCarrier
from wsext.trio.waiting import Promise

__all__ = ["TrioOutflow"]

Mapped = Mapping[str, Any] | None


class TrioOutflow:
    """Takes what a session sends, and gives it to the connection.

    Args:
        link: The connection of the session.
        options: The options of the session.
        closed_error: Makes what is raised when nothing can be sent any more.

    Attributes:
        outbox: What waits.
    """

    def __init__(
        self,
        link: MessageCarrier,
        options: WebSocketOptions,
        closed_error: Callable[[], BaseException],
    ) -> None:
        self.outbox = Outbox()
        self._lane = Lane(options.outgoing_overflow, options.outgoing_bytes)
        self._link = link
        self._closed_error = closed_error
        self._streaming: Waiting | None = None  # the streamed message that is half way
        self._fragment: Waiting | None = None  # of the streamed message, for an asynchronous codec
        self._is_encoding = False  # an asynchronous codec has something
        self._writable = trio.lowlevel.ParkingLot()

    @property
    def dropped(self) -> int:
        """Messages that were dropped by the policy."""
        return self._lane.dropped

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and no codec works on anything."""
        return not (self.outbox or self._is_encoding or self._fragment)

    def finish(self) -> bool:
        """A Close frame is to be sent; ``False`` if something has to leave before it."""
        if self._streaming is not None:
            self.outbox.clear(self._closed_error)  # no message may stand in another one
        return self.is_empty

    # --- putting in ---------------------------------------------------------------------------

    async def send(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        """Send a message and wait until it is on its way; see `Session.send`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if isinstance(data, AsyncIterable):
            await self._send_stream(data, hints, meta)
            return
        entry = entry_of(data, hints, meta)
        if not self._try_now(entry):
            if self._lane.policy == "suspend":
                await self._wait_in(entry)
                return
            self._put(entry)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def queue(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        """Send a message without waiting; see `Session.send_nowait`."""
        entry = entry_of(data, hints, meta)
        if not self._try_now(entry):
            self._put(entry)

    async def _wait_in(self, entry: Waiting) -> None:
        """Put an entry into the outbox and wait until it was taken out."""
        promise: Promise[None] = Promise()
        entry.waiter = promise
        try:
            self._put(entry)
            await promise.wait()
        except trio.Cancelled:
            self.outbox.remove(entry)  # else it is on its way, and is finished
            self._link.write_soon()
            raise

    def _try_now(self, entry: Waiting) -> bool:
        """Send at once if nothing waits; ``False`` if something does.

        Raises:
            ConnectionClosed: If nothing may be sent any more.
        """
        link = self._link
        if not link.is_open:
            raise self._closed_error()
        is_async = link.connection.pipeline.is_async
        if is_async or self.outbox or self._streaming is not None or link.is_paused:
            return False
        self._write(entry)
        return True

    def _put(self, entry: Waiting) -> None:
        lane = self._lane
        if self.outbox.put(lane, entry):
            self._link.write_soon()
        elif lane.policy == "suspend":
            waiting = self.outbox.size + self._link.unwritten
            raise QueueFull(f"{waiting} bytes wait for the peer to read")
        else:
            self.outbox.drop(lane)
            error = LocalProtocolError("peer reads too slowly", CloseCode.TRY_AGAIN_LATER)
            self._link.fail(error)
            raise error

    # --- streamed messages --------------------------------------------------------------------

    async def _send_stream(self, chunks: AsyncIterable[Data], hints: Mapped, meta: Mapped) -> None:
        iterator = aiter(chunks)
        first = await anext(iterator, None)
        if first is None:
            return
        await self._begin_stream()
        connection = self._link.connection
        try:
            await send_fragments(first, iterator, hints, meta, self._send_fragment)
        except BaseException:
            if connection.is_halfway and connection.is_open:
                # A codec has half a message, or the peer; nothing can take it back.
                self._link.fail(LocalProtocolError("message was not finished"))
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()  # trio wants to know when that happens
            raise
        finally:
            self._streaming = self._fragment = None
            self._link.write_soon()

    async def _begin_stream(self) -> None:
        """Wait until it is this message's turn; no other is sent until it ends."""
        if not self._link.is_open:
            raise self._closed_error()
        entry = Waiting(STREAM, 0)
        if self.is_empty and self._streaming is None:
            self._streaming = entry
            return
        try:
            await self._wait_in(entry)
        except trio.Cancelled:
            if self._streaming is entry:  # its turn had come
                self._streaming = None
                self._link.write_soon()
            raise

    async def _send_fragment(self, frame: Frame) -> None:
        await self._wait_writable()
        entry = Waiting(frame, len(frame.payload))
        if not self._link.connection.pipeline.is_async:
            self._write(entry)
            await trio.lowlevel.checkpoint()
            return
        promise: Promise[None] = Promise()
        entry.waiter = promise
        self._fragment = entry
        self._link.write_soon()
        await promise.wait()

    async def _wait_writable(self) -> None:
        """Wait until the peer has read enough.

        Raises:
            ConnectionClosed: If nothing may be sent any more.
        """
        while self._link.is_open and self._link.is_paused:
            await self._writable.park()
        if not self._link.is_open:
            raise self._closed_error()

    async def send_frame(self, frame: Frame) -> None:
        """Send one frame as it is; see `Session.send_frame`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        link = self._link
        if frame.is_control and not link.connection.ended:
            self._write(Waiting(frame, 0))
        else:
            await self._wait_writable()
            entry = Waiting(frame, len(frame.payload))
            if link.connection.pipeline.is_async:
                await self._wait_in(entry)
                return
            self._write(entry)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def flush(self) -> None:
        """Wait until everything that was sent is with the stream, or the session has ended."""
        await trio.lowlevel.checkpoint()
        while not self.is_empty or self._link.unwritten:
            await self._writable.park()

    # --- taking out ---------------------------------------------------------------------------

    def _write(self, entry: Waiting) -> None:
        """Hand a message to the connection; no codec is asynchronous.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        try:
            hand_over(self._link.connection, entry.data)
        finally:
            self._link.write_soon()

    @property
    def has_next(self) -> bool:
        """Whether there is something for the writer to take out."""
        if self._streaming is not None:
            return self._fragment is not None
        return bool(self.outbox)

    async def take_out(self) -> None:
        """Give the connection what leaves next; only the writer asks. There has to be something."""
        if not self._link.connection.is_open:
            self.end()
            return
        entry, self._fragment = self._fragment, None
        if entry is None:
            entry = self.outbox.pop()
        if entry.data is STREAM:
            self._streaming = entry
            entry.settle()
            return
        try:
            if not self._link.connection.pipeline.is_async:
                hand_over(self._link.connection, entry.data)
                sent = True
            else:
                self._is_encoding = True
                sent = await self._link.connection.asend_frame(frame_of(entry.data))
        except ProtocolError as error:  # the connection has failed
            entry.settle(error)
        except BaseException:
            entry.settle(self._closed_error())
            raise
        else:
            entry.settle(None if sent else self._closed_error())
        finally:
            self._is_encoding = False

    def wake(self) -> None:
        """The peer has read, or nothing can be sent any more: who waits has another look."""
        self._writable.unpark_all()

    def end(self, closed_error: Callable[[], BaseException] | None = None) -> None:
        """Nothing that waits can be sent any more.

        Args:
            closed_error: Makes what is raised from now on.
        """
        self._closed_error = closed_error or self._closed_error
        fragment, self._fragment = self._fragment, None
        if fragment is not None:
            fragment.settle(self._closed_error())
        self.outbox.clear(self._closed_error)
        self.wake()
