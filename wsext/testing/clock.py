"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from wsext.testing.simulation.loop import SimulatedLoop

__all__ = ["Clock", "make_clock", "settle"]


class _Timer:
    """One call that is due at some time."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


class Clock:
    """Virtual time for pings and timeouts of sessions in memory.

    Time passes only in `advance`, so a test of a ping timeout takes no time.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._queue: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any:
        """Call once when that much time has passed."""
        timer = _Timer(callback)
        heapq.heappush(self._queue, (self._now + max(delay, 0.0), next(self._numbers), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass: what is due happens in its order, and all that follows from it."""
        end = self._now + seconds
        await settle()
        while self._queue and self._queue[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._queue)
            if not timer.cancelled:
                timer.callback()
                await settle()
        self._now = end


class _LoopClock(Clock):
    """The clock of a simulated world: its own loop has virtual time already."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def time(self) -> float:
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any:
        return self._loop.call_later(delay, callback)

    async def advance(self, seconds: float) -> None:
        await settle()
        await asyncio.sleep(seconds)
        await settle()


def make_clock() -> Clock:
    """A clock for what runs on this event loop."""
    loop = asyncio.get_running_loop()
    return _LoopClock(loop) if isinstance(loop, SimulatedLoop) else Clock()


async def settle() -> None:
    """Give everything that is ready its turn, and what becomes ready by that."""
    for _ in range(20):
        await asyncio.sleep(0)
