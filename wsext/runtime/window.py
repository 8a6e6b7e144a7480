"""How long is a session kept without a connection, if the process was stopped meanwhile?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsext.runtime.timers import Timers

__all__ = ["Window"]

#: Seconds that are counted at once.
_STEP = 1.0


class Window:
    """Counts seconds down, but only those in which the process could run.

    A process that is stopped for a minute must not find all windows over when it goes on: their
    clients could not reach it. So the time is counted in steps, and a late step counts once.

    Args:
        timers: What runs the time.
        seconds: How many.
        over: Called at the end.
    """

    __slots__ = ("_left", "_over", "_timer", "_timers")

    def __init__(self, timers: Timers, seconds: float, over: Callable[[], None]) -> None:
        self._timers = timers
        self._over = over
        self._left = seconds
        self._timer: Any = None
        self._step()

    def _step(self) -> None:
        step = min(self._left, _STEP)
        self._left -= step
        self._timer = self._timers.call_later(step, self._step if self._left > 0 else self._over)

    def stop(self) -> None:
        """Count no further."""
        self._timer.cancel()
