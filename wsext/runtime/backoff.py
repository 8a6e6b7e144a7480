"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts to reconnect, in seconds.

    The wait before attempt n is a random part, from half to whole, of
    ``initial * factor ** n``, at most ``maximum``.
    """

    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0

    def delays(self) -> Iterator[float]:
        """The waits, without end."""
        delay = self.initial
        while True:
            yield delay * random.uniform(0.5, 1.0)  # spreads load, guards nothing
            delay = min(delay * self.factor, self.maximum)
