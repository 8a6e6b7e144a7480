"""Which messages of a room are known by an id, so that a repetition is recognised."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["RememberedIds"]


class RememberedIds:
    """The last ids of a room, each with the number of its message.

    Args:
        most: How many are remembered; the oldest go first.
        seconds: How long.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, id: str) -> int | None:
        """The number of the message with this id, while it is remembered."""
        self._forget()
        number, at = self._known.get(id, (None, 0.0))
        return number if at > self._clock() - self._seconds else None

    def put(self, id: str, number: int, at: float | None = None) -> None:
        """Remember a message, from now on or from a time of the clock on."""
        self._known[id] = number, self._clock() if at is None else at
        self._known.move_to_end(id)
        self._forget()

    def _forget(self) -> None:
        until = self._clock() - self._seconds
        while self._known:
            oldest, (_, at) = next(iter(self._known.items()))
            if len(self._known) <= self._most and at > until:
                return
            del self._known[oldest]
