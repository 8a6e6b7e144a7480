"""Waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]


async def until(condition: Callable[[], bool]) -> None:
    """Look now and then until something is so; the test's own time limit is the bound."""
    while not condition():  # there is no event for it
        await asyncio.sleep(0.005)
