"""Waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wsext import Server

__all__ = ["sessions_gone", "until"]


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Look now and then until something is so; the test's own time limit is the bound."""
    while not (found if isinstance(found := condition(), bool) else await found):
        await asyncio.sleep(0.005)  # there is no event for it


async def sessions_gone(server: Server) -> None:
    """Wait until a server has no session: all have ended, and their handlers are done."""
    for session in server.sessions:
        await session.wait_closed()
    await until(lambda: not server.sessions)  # nothing tells that a handler has returned
