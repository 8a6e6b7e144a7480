"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts to reconnect, in seconds.

    The longest wait before attempt n is ``initial * factor ** n``, and at most ``maximum``. Chance
    leaves out a part of it, at most the share ``jitter`` (0 to 1), so that many who were cut off
    together do not come back together. It begins with ``initial`` again once a connection has
    lasted for ``lasting`` seconds; ``None`` stands for ``maximum``.

    A server may ask for a longer wait. After the close codes 1012 and 1013, the wait is a random
    one from 5 to 30 seconds longer, but at most ``maximum`` in all. After ``Retry-After`` it is
    longer by what that says, at most by ``longest_asked``.
    """

    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0
    lasting: float | None = None
    longest_asked: float = 3600.0
    jitter: float = 1.0

    def delays(self) -> Iterator[float]:
        """The waits, without end."""
        delay = self.initial
        while True:
            yield delay * random.uniform(1.0 - self.jitter, 1.0)  # spreads load, guards nothing
            delay = min(delay * self.factor, self.maximum)
