"""Which event loop runs wsext's own commands and `App.run`, and what needs one that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = [
    "need_running_loop",
    "new_event_loop",
    "refuse_other_thread",
    "refuse_running_loop",
    "start",
]

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop when it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def need_running_loop(what: str) -> asyncio.AbstractEventLoop:
    """The running event loop.

    Raises:
        RuntimeError: If none runs in this thread; it says what to do.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{what} needs a running event loop, and none runs in this thread: make it inside of an"
            " async function, which asyncio.run() or app.run() runs"
        ) from None


def refuse_running_loop(what: str, instead: str) -> None:
    """Check that no event loop runs in this thread.

    Raises:
        RuntimeError: If one does; it says what to do.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{what} runs an event loop of its own, and one runs in this thread already: {instead}"
    )


def refuse_other_thread(loop: asyncio.AbstractEventLoop, call: str) -> None:
    """Refuse a call that would race with an event loop, because that runs in another thread.

    Args:
        loop: The event loop.
        call: What was called, for example ``session.send_nowait``.

    Raises:
        RuntimeError: If it does; it says what to call.
    """
    if asyncio._get_running_loop() is loop or not loop.is_running():
        return
    waiting = call.removesuffix("_nowait")
    also = f" or asyncio.run_coroutine_threadsafe({waiting}(...), loop).result()"
    raise RuntimeError(
        f"{call} was called in another thread than that of its event loop, with which it would"
        f" race: call loop.call_soon_threadsafe({call}, ...){also if waiting != call else ''};"
        " asyncio.get_running_loop() gives the loop in its own thread"
    )


def start(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that begins only after this has returned, so that whoever starts it can keep it first.

    A loop with `asyncio.eager_task_factory` runs the beginning of a task while it is made.
    """
    if loop.get_task_factory() is None:
        return loop.create_task(work)
    return asyncio.Task(work, loop=loop)
