"""Waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wsext import Server

__all__ = ["at_rest", "sessions_gone", "until"]

T = TypeVar("T")


async def until(condition: Callable[[], bool | Awaitable[bool]], every: float = 0.005) -> None:
    """Look now and then until something is so; the test's own time limit is the bound.

    Args:
        condition: What has to be so.
        every: Seconds between two looks; more for what costs another process something.
    """
    while not (found if isinstance(found := condition(), bool) else await found):
        await asyncio.sleep(every)  # there is no event for it


async def at_rest(value: Callable[[], T], looks: int = 10) -> T:
    """Wait until something has begun and then does not change any more; what it is then."""
    last, same = value(), 0
    while same < looks or not last:
        await asyncio.sleep(0.005)  # nothing tells that nothing happens
        now = value()
        same = same + 1 if now == last else 0
        last = now
    return last


async def sessions_gone(server: Server) -> None:
    """Wait until a server has no session: all have ended, and their handlers are done."""
    for session in server.sessions:
        await session.wait_closed()
    await until(lambda: not server.sessions)  # nothing tells that a handler has returned
