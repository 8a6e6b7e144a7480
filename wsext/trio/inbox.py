"""What was received and waits for the program: a bounded queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from sys import getsizeof

import trio

from wsext.protocol.frames import Frame, Message

__all__ = ["TrioInbox"]

#: Bytes from which on it counts how a text is kept while it waits.
_LARGE = 512


class TrioInbox:
    """Received items, bounded by number and by bytes.

    `put` never waits; what to do when the bounds are reached is its caller's. Taking an item is
    safe to cancel: an item is taken only by a task that gets it.

    Args:
        capacity: Items that may wait.
        max_bytes: Bytes that may wait.
        on_room: Called when the queue falls to half of its bounds after it was full.

    Attributes:
        size: Bytes that wait.
        full: Whether the bounds were reached, and it has not fallen to half of them since.
        dropped: Items that were dropped.
    """

    def __init__(self, capacity: int, max_bytes: int, on_room: Callable[[], None]) -> None:
        self._items: deque[Message | Frame] = deque()
        self._readers = trio.lowlevel.ParkingLot()
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._on_room = on_room
        self._end: Callable[[], BaseException] | None = None
        self._is_deaf = False
        self.size = self.dropped = 0
        self.full = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Message | Frame) -> bool:
        """Add an item; ``False`` when there is no room for another one.

        What a reader waits for already does not count: it does not wait itself.
        """
        if self._is_deaf:
            return True
        self._items.append(item)
        self.size += _size(item)
        if self._readers:
            self._readers.unpark()
            return True
        _pack(item)
        self.full = self.full or len(self._items) > self._capacity or self.size >= self._max_bytes
        return not self.full

    @property
    def is_over(self) -> bool:
        """Whether more waits than the bounds allow."""
        return len(self._items) > self._capacity or self.size > self._max_bytes

    def drop_oldest(self) -> None:
        """Throw away the oldest items until the bounds are kept; the newest one always stays."""
        while len(self._items) > 1 and self.is_over:
            self.size -= _size(self._items.popleft())
            self.dropped += 1
        self.full = False

    def refuse(self) -> None:
        """Take no more items: what is still put in is thrown away."""
        self._is_deaf = True
        self.full = False

    def clear(self) -> None:
        """Throw away what waits."""
        self._items.clear()
        self.size = 0
        self._make_room()

    def end(self, error: Callable[[], BaseException]) -> None:
        """No more items will come: once the queue is empty, readers get the error."""
        self._end = error
        self._readers.unpark_all()

    async def take(self) -> Message | Frame:
        """Wait for the next item, and take it.

        Raises:
            ConnectionClosed: When the end has been, and nothing waits any more.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        has_waited = False
        while not self._items:
            if self._end is not None:
                raise self._end()
            await self._readers.park()
            has_waited = True
        item = self._items.popleft()
        self.size -= _size(item)
        self._make_room()
        _unpack(item)
        if not has_waited:  # others have their turn
            await trio.lowlevel.cancel_shielded_checkpoint()
        return item

    @property
    def is_awaited(self) -> bool:
        """Whether a reader waits for an item."""
        return bool(self._readers)

    def _make_room(self) -> None:
        is_half = len(self._items) <= self._capacity // 2 and self.size <= self._max_bytes // 2
        if self.full and is_half:
            self.full = False
            self._on_room()


def _size(item: Message | Frame) -> int:
    return item.size if isinstance(item, Message) else len(item.payload)


def _pack(item: Message | Frame) -> None:
    """Keep a text that waits as its UTF-8, where that takes much less: one character may make
    Python take four bytes for each. A ``bytearray`` marks it, for no message has one."""
    if not isinstance(item, Message) or item.size <= _LARGE or not isinstance(item.data, str):
        return
    if getsizeof(item.data) > 2 * item.size:
        item.data = bytearray(item.data, "utf-8")  # type: ignore[assignment]


def _unpack(item: Message | Frame) -> None:
    if isinstance(item, Message) and isinstance(item.data, bytearray):
        item.data = str(item.data, "utf-8")
