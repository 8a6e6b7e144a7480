"""The one way out of a session: everything that it sends passes its `Writer`, or did not have to.

The fast path (`wsext.runtime.write_path`) sends at once while nothing waits. What cannot be sent at
once waits in the outbox, by a policy, and leaves from there (`wsext.runtime.outflow`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Hashable, Mapping
from typing import Any

from wsext.errors import LocalProtocolError, ProtocolError, QueueFull
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.frames import Data, Frame
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.wire import to_payload
from wsext.runtime.fragments import send_fragments
from wsext.runtime.link import Link
from wsext.runtime.outbox import Lane, Waiting
from wsext.runtime.outflow import STREAM, Outflow, Sending

__all__ = ["Writer", "entry_of"]

logger = get_logger("wsext.session")

Mapped = Mapping[str, Any] | None


class Writer(Outflow):
    """Takes what a session sends: at once, by a policy, or a message in fragments.

    Args:
        link: The connection of the session.
        owner: The life of the session.
    """

    def __init__(self, link: Link, owner: Sending) -> None:
        super().__init__(link, owner)
        options = link.options
        self._lane = Lane(options.outgoing_overflow, options.outgoing_bytes)

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
        entry = entry_of(data, hints, meta)
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
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.waiter = waiter
        try:
            self._put(entry)
            await waiter
        except asyncio.CancelledError:
            self.outbox.remove(entry)  # else it is on its way, and is finished
            self._update()
            raise
        finally:
            entry.waiter = None  # it has the error, whose traceback has this frame
            del waiter

    def queue(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        """Send a message without waiting; see `Session.send_nowait`."""
        entry = entry_of(data, hints, meta)
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
            self.outbox.drop(lane)
            error = LocalProtocolError("peer reads too slowly", CloseCode.TRY_AGAIN_LATER)
            self._owner.fail(error)
            raise error

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

    # --- streamed messages --------------------------------------------------------------------

    async def _send_stream(self, chunks: AsyncIterable[Data], hints: Mapped, meta: Mapped) -> None:
        iterator = aiter(chunks)
        first = await anext(iterator, None)
        if first is None:
            return
        await self._begin_stream()
        try:
            await send_fragments(first, iterator, hints, meta, self._send_fragment)
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

    async def _begin_stream(self) -> None:
        """Wait until it is this message's turn; no other is sent until `_end_stream`."""
        if not self._owner.is_open:
            raise self._owner.closed_error()
        if not self.outbox and self._streaming is None and self._encoding is None:
            self._streaming = Waiting(STREAM, 0)
            self._update()
            return
        entry = Waiting(STREAM, 0)
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
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.waiter = waiter
        self._start_pump()
        try:
            await waiter
        finally:
            entry.waiter = None  # as above
            del waiter

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


def entry_of(data: Any, hints: Mapped, meta: Mapped) -> Waiting:
    """A message as an entry of the outbox.

    Raises:
        TypeError: If it is no message.
    """
    if isinstance(data, PreparedMessage):
        return Waiting(data, data.size)
    opcode, payload = to_payload(data)  # a copy, if the caller may change it meanwhile
    return Waiting(Frame(opcode, payload, True, 0, hints, meta), len(payload))
