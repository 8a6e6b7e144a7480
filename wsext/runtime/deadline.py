"""How long a connection waits for what its extensions do asynchronously: `codec_timeout`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from wsext.errors import LocalProtocolError, ProtocolError
from wsext.escape import get_logger
from wsext.protocol.boundary import FAULTS, Boundary
from wsext.runtime.timers import Timers

__all__ = ["Deadline"]

logger = get_logger("wsext.extensions")

#: Seconds, at most, that something gets to end after it was cancelled.
_GRACE = 1.0


class Deadline:
    """Awaits what codecs and interceptors of a connection return, each for at most some time.

    It awaits in the task of whoever asks: a task for each would cost more than most codecs do.

    Args:
        timers: What runs the time.
        seconds: How long; ``None`` for any time.
        abandon: Called with an error if something does not even end when it is cancelled.
    """

    __slots__ = ("_abandon", "_asked", "_said", "_seconds", "_timers")

    def __init__(
        self, timers: Timers, seconds: float | None, abandon: Callable[[ProtocolError], None]
    ) -> None:
        self._timers = timers
        self._seconds = seconds
        self._abandon = abandon
        self._asked: dict[str, Boundary | None] = {}
        self._said = f"took longer than {seconds} seconds (codec_timeout)"

    async def wait(self, awaitable: Awaitable[Any], boundary: Boundary | None, doing: str) -> Any:
        """Await one result.

        Args:
            awaitable: What is awaited.
            boundary: Whose it is; ``None`` for an interceptor's.
            doing: The method.

        Raises:
            TimeoutError: If it takes too long. It was cancelled then.
            RuntimeError: If it raises a cancellation although nobody has cancelled it.
        """
        task = asyncio.current_task()
        assert task is not None
        self._asked[doing] = boundary
        seconds = self._seconds or 0.0
        is_over = False
        timer: Any = None

        def expire() -> None:
            nonlocal is_over, timer
            is_over = True
            stubborn = f"{self._said}, and goes on although it was cancelled"
            give_up = partial(self.give_up, doing, stubborn)
            timer = self._timers.call_later(min(_GRACE, seconds), give_up)
            task.cancel()

        if seconds:
            timer = self._timers.call_later(seconds, expire)
        try:
            result = await awaitable
        except asyncio.CancelledError as error:
            if task.cancelling() > is_over:
                raise  # whoever waits was cancelled
            if not is_over:
                raise RuntimeError("was cancelled, though nobody has cancelled it") from error
        except FAULTS:
            if not is_over:
                raise
        finally:
            del self._asked[doing]
            if timer is not None:
                timer.cancel()
        if is_over:
            task.uncancel()
            raise TimeoutError(self._said)
        return result

    def is_waiting(self, doing: str) -> bool:
        """Whether something has been asked and is not done yet."""
        return doing in self._asked

    def give_up(self, doing: str, problem: str) -> None:
        """Go on without what is being waited for.

        Args:
            doing: The method.
            problem: Why, for the log.
        """
        boundary = self._asked[doing]
        if boundary is None:
            logger.error("an interceptor %s", problem)
            self._abandon(LocalProtocolError("interceptor failed"))
        else:
            self._abandon(boundary.failure(TimeoutError(problem), doing))
