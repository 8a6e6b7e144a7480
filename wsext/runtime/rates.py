"""Rates: how much of something may happen in a while, and how often it is logged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Bucket", "Rarely"]

#: Seconds between two lines in the log about the same thing.
_QUIET = 60.0


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``rate * burst`` of them."""

    __slots__ = ("_at", "_full", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._full = max(rate * burst, 1.0)
        self._tokens = self._full
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; the seconds until none are owed, 0.0 if there were enough."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)

    def give_back(self, amount: float) -> None:
        """Undo a `take`."""
        self._tokens += amount

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken for long."""
        self._refill(now)
        return self._tokens >= self._full

    def _refill(self, now: float) -> None:
        self._tokens = min(self._full, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Rarely:
    """Logs something that may happen often, at most once a minute.

    Args:
        log: What writes a line, for example ``logger.warning``.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, log: Callable[..., None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._clock = clock
        self._left_out = 0
        self._next = -math.inf

    def __call__(self, text: str, *values: object) -> None:
        """It has happened once more."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            text += f" (and {self._left_out} times more before)"
        self._log(text, *values, stacklevel=2)  # the line is the caller's
        self._left_out, self._next = 0, now + _QUIET
