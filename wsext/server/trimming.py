"""Gives memory back to the system after many connections have ended.

The GNU C library keeps memory that was freed between pieces that are still in use. After a flood of
connections that can be tens of megabytes, and it stays so much until somebody asks for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from time import perf_counter
from typing import Any

from wsext.runtime.timers import Timers

__all__ = ["Trimming"]

#: Connections that have to end before it is worth the time: some milliseconds.
_MANY = 32

#: Seconds without many ends, and how many are not many.
_CALM = 1.0
_FEW = 8

#: It rests a thousand times as long as it took: one second for a heap of 10 MB, forty for 500 MB.
_REST = 1000


def _find_trim() -> Callable[[int], Any] | None:
    """``malloc_trim`` of the C library; ``None`` if it has none."""
    try:
        found: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows
        return None
    return found


class Trimming:
    """Asks the C library to give free memory back, once it is calm after many ends.

    Args:
        timers: What runs it.
        clock: What tells how long it takes, in seconds; nobody is served meanwhile.
    """

    def __init__(self, timers: Timers, clock: Callable[[], float] = perf_counter) -> None:
        self._timers = timers
        self._clock = clock
        self._trim = _find_trim()
        self._ended = 0
        self._last_ended = 0
        self._not_before = 0.0
        self._timer: Any = None

    def note_end(self) -> None:
        """A connection has ended."""
        self._ended += 1
        if self._ended >= _MANY and self._timer is None and self._trim is not None:
            wait = self._not_before - self._timers.time()
            self._last_ended = self._ended
            self._timer = self._timers.call_later(max(wait, _CALM), self._look)

    def stop(self) -> None:
        """Do nothing any more."""
        self._trim = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._ended - self._last_ended > _FEW:
            self._last_ended = self._ended
            self._timer = self._timers.call_later(_CALM, self._look)
            return
        self._timer = None
        self._ended = 0
        if self._trim is not None:
            began = self._clock()
            self._trim(0)
            self._not_before = self._timers.time() + _REST * (self._clock() - began)
