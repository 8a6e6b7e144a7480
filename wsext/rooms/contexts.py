"""The contexts in which rooms are compressed: bounded for all rooms together."""

from __future__ import annotations

import time
from collections import OrderedDict

from wsext.protocol.contexts import SharedContext

__all__ = ["Contexts"]

#: Seconds after which the context of a room is freed in which nothing is said.
_IDLE = 60.0


class Contexts:
    """The contexts that hold something, those last that were used last.

    Attributes:
        size: Bytes of all of them, as far as the extensions tell.
    """

    def __init__(self) -> None:
        self._used: OrderedDict[SharedContext, tuple[int, float]] = OrderedDict()
        self.size = 0

    def use(self, context: SharedContext, most: int) -> None:
        """Something was said in a context. If all take more than ``most`` bytes now, those go that
        were used the longest time ago; this one stays."""
        held = context.held_bytes
        if held == 0 and context not in self._used:
            return
        before, _ = self._used.get(context, (0, 0.0))
        self._used[context] = held, time.monotonic()
        self._used.move_to_end(context)
        self.size += held - before
        while self.size > most and len(self._used) > 1:
            self.drop(next(iter(self._used)))

    def drop(self, context: SharedContext) -> None:
        """Free what a context holds."""
        held, _ = self._used.pop(context, (0, 0.0))
        self.size -= held
        context.close()

    def drop_idle(self) -> None:
        """Free the contexts in which nothing was said lately."""
        until = time.monotonic() - _IDLE
        while self._used:
            context, (_, used) = next(iter(self._used.items()))
            if used > until:
                return
            self.drop(context)
