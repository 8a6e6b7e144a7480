"""An awaitable that is a coroutine without a frame; ``_step_c.pyx`` is the same in C."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Base = Coroutine[Any, Any, Any]
else:
    _Base = object

__all__ = ["Step", "advance"]


class Step(_Base):
    """Subclasses have ``step``: it returns the result and sets ``ready``, or what to wait for."""

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready = False

    def step(self) -> Any:
        raise NotImplementedError

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        out = self.step()
        if self.ready:
            raise StopIteration(out)
        return out

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """As of a coroutine."""
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        try:
            raise value
        finally:
            del kind, value  # its traceback has this frame

    def close(self) -> None:
        """As of a coroutine."""


def advance(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a context up to the next thing that it waits for.

    Raises:
        StopIteration: When it has returned.
    """
    return context.run(coroutine.send, None)
