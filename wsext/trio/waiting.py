"""What one task waits for: promises that another task keeps, timers, and deadlines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import trio

from wsext.protocol.boundary import Boundary
from wsext.runtime.settings import WebSocketOptions

__all__ = ["Promise", "TrioPatience", "TrioTimers", "close_rest", "codec_deadline"]

T = TypeVar("T")


class Promise(Generic[T]):
    """What one task waits for and another one fulfils; it is used like a future."""

    __slots__ = ("_error", "_event", "_value")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether it was fulfilled."""
        return self._event.is_set()

    def set_result(self, result: T, /) -> None:
        """Fulfil it."""
        self._value = result
        self._event.set()

    def set_exception(self, exception: BaseException, /) -> None:
        """Have whoever waits get an error."""
        self._error = exception
        self._event.set()

    async def wait(self) -> T:
        """Wait until it is fulfilled.

        Raises:
            Whatever `set_exception` was given.
        """
        await self._event.wait()
        error, self._error = self._error, None  # its traceback will have this frame
        if error is not None:
            raise error
        return self._value  # type: ignore[return-value]


class TrioTimers:
    """Timers on trio's clock, each of them a task; as `wsext.runtime.timers.Timers`.

    What is asked for before `start` begins then.
    """

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._early: list[Callable[[], Awaitable[None]]] = []

    def start(self, nursery: trio.Nursery) -> None:
        """Run the timers in a nursery from now on."""
        self._nursery = nursery
        early, self._early = self._early, []
        for work in early:
            nursery.start_soon(work)

    def stop(self) -> None:
        """The nursery ends: what is asked for from now on never happens."""
        self._nursery, self._early = None, []

    def time(self) -> float:
        """Seconds on trio's clock."""
        return trio.current_time()

    def call_later(self, delay: float, callback: Callable[[], None], /) -> trio.CancelScope:
        """Call once after some seconds, unless the scope that is returned is cancelled."""
        scope = trio.CancelScope()
        work = partial(_call_at, trio.current_time() + delay, callback, scope)
        if self._nursery is None:
            self._early.append(work)
        else:
            self._nursery.start_soon(work)
        return scope


async def _call_at(when: float, callback: Callable[[], None], scope: trio.CancelScope) -> None:
    with scope:
        await trio.sleep_until(when)
    if not scope.cancelled_caught and not scope.cancel_called:
        callback()


class TrioPatience:
    """Awaits what extensions answer, all of it together for at most some time.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._until = trio.current_time() + seconds

    async def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Await one answer.

        Raises:
            TimeoutError: If there is no time left.
            RuntimeError: If it has cancelled itself, as asyncio does.
        """
        with trio.move_on_at(self._until):
            try:
                return await awaitable
            except asyncio.CancelledError as error:  # to trio it means nothing
                raise RuntimeError("was cancelled, though nobody has cancelled it") from error
        raise TimeoutError("did not answer in time")


def codec_deadline(
    seconds: float | None,
) -> Callable[[Awaitable[Any], Boundary | None, str], Awaitable[Any]]:
    """What awaits the results of asynchronous codecs, each for at most so many seconds; ``None``
    for any time."""

    async def wait(awaitable: Awaitable[Any], boundary: Boundary | None, doing: str) -> Any:
        try:
            return await TrioPatience(math.inf if seconds is None else seconds).wait(awaitable)
        except TimeoutError as error:
            problem = f"took longer than {seconds} seconds (codec_timeout)"
            raise TimeoutError(problem) from error

    return wait


async def close_rest(left: Sequence[Boundary], options: WebSocketOptions) -> None:
    """Close the codecs whose `close` is asynchronous, all of them at the same time.

    Whoever asks may be cancelled meanwhile: they are closed all the same.

    Args:
        left: What `Negotiation.close` or `Pipeline.close` has left.
        options: They get ``codec_timeout`` or ``close_timeout``, whichever is shorter.
    """
    if not left:
        return
    patience = TrioPatience(min(options.close_timeout, options.codec_timeout or math.inf))
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for boundary in left:
                nursery.start_soon(boundary.aclose, patience.wait)
