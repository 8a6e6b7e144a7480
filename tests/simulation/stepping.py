"""Cancels a coroutine at one of its await points."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any

__all__ = ["Stepper"]


class Stepper:
    """Runs a coroutine as a task, and cancels it once at a chosen place.

    Args:
        work: The coroutine.
        at: At which await that really waits, counted from 1; 0 for never.
        late: Cancel only when what it waits for has happened, just before it goes on.

    Attributes:
        steps: How often it has waited so far.
    """

    def __init__(self, work: Coroutine[Any, Any, None], at: int, late: bool) -> None:
        self.steps = 0
        self._at = at
        self._late = late
        self.task = asyncio.get_running_loop().create_task(self._run(work), name="victim")

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        await self._drive(work)

    @coroutine
    def _drive(self, work: Coroutine[Any, Any, None]) -> Generator[Any, None, None]:
        error: BaseException | None = None
        while True:
            try:
                waiting = work.send(None) if error is None else work.throw(error)
            except StopIteration:
                return
            self.steps += 1
            if self.steps == self._at:
                self._cancel(waiting)
            try:
                yield waiting
            except BaseException as caught:
                error = caught
            else:
                error = None

    def _cancel(self, waiting: Any) -> None:
        if self._late and isinstance(waiting, asyncio.Future):
            waiting.add_done_callback(lambda done: self.task.cancel())
        else:
            asyncio.get_running_loop().call_soon(self.task.cancel)
