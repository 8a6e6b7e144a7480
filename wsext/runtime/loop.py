"""Which event loop runs wsext's own commands and `App.run`, and what needs one that runs."""

from __future__ import annotations

import asyncio

__all__ = ["need_running_loop", "new_event_loop", "refuse_running_loop"]


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
