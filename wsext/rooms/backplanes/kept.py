"""The last messages of rooms: bounded for each room, and for all rooms together."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Bounds", "KeptMessages"]

T = TypeVar("T")

#: Bytes that Python needs for a message beside its payload, about; small messages count, too.
_OVERHEAD = 256


class Bounds(NamedTuple):
    """How much is kept.

    Attributes:
        messages: Messages of a room.
        room_bytes: Payload bytes of a room.
        total_bytes: Bytes of all rooms, with what is held beside the payloads.
        rooms: Rooms.
        seconds: How long after the last message of a room.
    """

    messages: int
    room_bytes: int
    total_bytes: int
    rooms: int | None = None
    seconds: float | None = None


class _Log(Generic[T]):
    """The last messages of one room, each with the size of its payload and all that it holds."""

    __slots__ = ("messages", "size", "used")

    def __init__(self) -> None:
        self.messages: deque[tuple[T, int, int]] = deque()
        self.size = 0
        self.used = 0.0


class KeptMessages(Generic[T]):
    """Keeps messages by room. When there is too much, the room that was silent longest loses first.

    Attributes:
        size: Bytes of all messages, with what is held beside their payloads.

    Args:
        held_by: How many bytes a message holds; it may become more while it is kept.
    """

    def __init__(self, held_by: Callable[[T], int]) -> None:
        self._held_by = held_by
        self._logs: OrderedDict[str, _Log[T]] = OrderedDict()
        self.size = 0

    def put(self, room: str, message: T, size: int, bounds: Bounds) -> None:
        """Add a room's newest message; older ones go if there is too much.

        A message that is larger than a room may keep leaves the room with nothing: what is kept of
        a room never has a gap.
        """
        log = self._logs.get(room)
        if log is None:
            log = self._logs[room] = _Log()
        held = self._held_by(message) + _OVERHEAD
        log.messages.append((message, size, held))
        log.size += size
        log.used = time.monotonic()
        self.size += held
        while len(log.messages) > bounds.messages or log.size > bounds.room_bytes:
            self._pop(log)
        if log.messages:
            self._logs.move_to_end(room)
        else:
            del self._logs[room]
        self._cut(bounds, log.used)

    def _pop(self, log: _Log[T]) -> None:
        _, size, held = log.messages.popleft()
        log.size -= size
        self.size -= held

    def recount(self, room: str, bounds: Bounds) -> None:
        """What a room's messages hold may have become more."""
        log = self._logs.get(room)
        if log is not None:
            messages = list(log.messages)
            self.drop(room)
            for message, size, _ in messages:
                self.put(room, message, size, bounds)

    def _cut(self, bounds: Bounds, now: float) -> None:
        while self._logs:
            oldest, log = next(iter(self._logs.items()))
            if self.size > bounds.total_bytes and len(log.messages) > 1:
                self._pop(log)
            elif (
                self.size > bounds.total_bytes
                or (bounds.rooms is not None and len(self._logs) > bounds.rooms)
                or (bounds.seconds is not None and now - log.used > bounds.seconds)
            ):
                self.drop(oldest)
            else:
                return

    def last(self, room: str, count: int) -> list[T]:
        """The last messages of a room, oldest first."""
        log = self._logs.get(room)
        if log is None or not count:
            return []
        return [message for message, _, _ in log.messages][-count:]

    def drop(self, room: str) -> None:
        """Forget a room."""
        log = self._logs.pop(room, None)
        if log is not None:
            self.size -= sum(held for _, _, held in log.messages)
