"""Who is told that a session has ended, and what ends with it: tasks, and slow codecs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wsext.errors import CloseInfo, ConnectionClosed
from wsext.escape import get_logger

__all__ = ["Company"]

logger = get_logger("wsext.session")

T = TypeVar("T")


class Company:
    """The part of a session's life that others take part in; `wsext.runtime.life.Life` has it.

    Attributes:
        id: The session's.
        info: How the session ended, once it has.
    """

    __slots__ = ("_callbacks", "_closing", "_tasks", "_waiters", "id", "info")

    def __init__(self, id: str) -> None:
        self.id = id
        self.info: CloseInfo | None = None
        # Most sessions have none of these for most of the time: nothing is made for nothing.
        self._callbacks: dict[Callable[[CloseInfo], None], None] | None = None
        self._tasks: dict[asyncio.Task[Any], None] | None = None
        self._waiters: list[asyncio.Future[CloseInfo]] | None = None
        self._closing: asyncio.Task[None] | None = None  # codecs whose `close` is asynchronous

    def end_with(self, error: BaseException, what: str) -> None:
        """End the session because something of the application's has failed."""
        raise NotImplementedError

    def _guard(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except ConnectionClosed:
            pass
        except Exception as error:
            logger.error("session %s: %r failed", self.id, callback, exc_info=error)

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, for whatever reason."""
        if self.info is not None:
            return self.info
        waiter: asyncio.Future[CloseInfo] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            if self._waiters is not None:
                self._waiters.remove(waiter)

    def add_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have a function called once, when the session has ended; at once if it has."""
        if self.info is not None:
            callback(self.info)
        elif self._callbacks is None:
            self._callbacks = {callback: None}
        else:
            self._callbacks[callback] = None

    def remove_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have it not called; nothing happens if it would not be."""
        if self._callbacks is not None:
            self._callbacks.pop(callback, None)

    def create_task(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Run a coroutine beside the handler; see `Session.create_task`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        if self._tasks is None:
            self._tasks = {}
        self._tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if self._tasks is not None:
            self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.end_with(error, f"task {task.get_name()}")

    async def wait_freed(self) -> None:
        """Wait until the codecs are closed whose `close` is asynchronous."""
        if self._closing is not None:
            await asyncio.wait({self._closing})

    async def wait_company(self) -> None:
        """Cancel what `create_task` started, and wait for it and for codecs that take a little
        longer to close."""
        while tasks := [task for task in self._tasks or () if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._closing is not None:
            await self._closing
