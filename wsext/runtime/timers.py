"""The clock that timeouts and pings go by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Timers"]


class Timers(Protocol):
    """What runs timeouts and pings: an event loop, or a clock that tests advance."""

    def time(self) -> float:
        """Seconds on a clock that never goes back."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any:
        """Call once after some seconds, unless what is returned is told to ``cancel()``."""
