"""The bounded queue between a connection and the application that reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Inbox"]


class Sized(Protocol):
    """What has a size in bytes: messages and frames."""

    @property
    def size(self) -> int:
        """Bytes."""


T = TypeVar("T", bound=Sized)


class Inbox(Generic[T]):
    """Received items, bounded by number and by bytes.

    `put` never waits; it says when the bounds are passed, and what to do then is the caller's.
    `get` is safe to cancel: an item is taken only by a task that runs.

    Args:
        capacity: Items that may wait.
        max_bytes: Bytes that may wait.
        before_wait: Called before a reader is suspended.
        on_room: Called when the queue falls to half of its bounds after it was full.
    """

    __slots__ = (
        "_before_wait",
        "_capacity",
        "_end",
        "_items",
        "_max_bytes",
        "_on_room",
        "_waiters",
        "dropped",
        "full",
        "size",
    )

    def __init__(
        self,
        capacity: int,
        max_bytes: int,
        before_wait: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self._items: deque[T] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._before_wait = before_wait
        self._on_room = on_room
        self._end: Callable[[], BaseException] | None = None
        self.size = 0  # bytes that wait
        self.full = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item; ``False`` when the bounds are passed by now."""
        self._items.append(item)
        self.size += item.size
        if self._waiters:
            self._wake()
        if len(self._items) > self._capacity or self.size > self._max_bytes:
            self.full = True
            return False
        return True

    def drop_oldest(self) -> None:
        """Throw away the oldest items until the bounds are kept; the newest one always stays."""
        while len(self._items) > 1 and (
            len(self._items) > self._capacity or self.size > self._max_bytes
        ):
            self.size -= self._items.popleft().size
            self.dropped += 1
        self.full = False

    def end(self, error: Callable[[], BaseException]) -> None:
        """No more items will come: once the queue is empty, `get` raises what ``error`` gives."""
        self._end = error
        while self._waiters:
            self._wake()

    def get_nowait(self) -> T | None:
        """The next item, or ``None`` when nothing waits."""
        return self._take() if self._items else None

    async def get(self) -> T:
        """The next item."""
        while not self._items:
            if self._end is not None:
                raise self._end()
            self._before_wait()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # this wake-up was for whoever waits next
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        return self._take()

    def _take(self) -> T:
        item = self._items.popleft()
        self.size -= item.size
        if (
            self.full
            and len(self._items) <= self._capacity // 2
            and self.size <= self._max_bytes // 2
        ):
            self.full = False
            self._on_room()
        return item

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
