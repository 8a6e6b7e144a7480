"""Resumes a waiting coroutine where the message comes, without a future or a callback.

Runs as it is, and compiled.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine
from typing import Any

from wsext.runtime.step import Step, advance

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Drive", "Waiter", "driven", "new_waiter"]


class _NoLoop:
    """As much of an event loop as a future needs that nobody waits for."""

    @staticmethod
    def get_debug() -> bool:
        return False


#: What a task is woken with. A task asks no other object for its result as fast as such a future.
_done: asyncio.Future[None] = asyncio.Future(loop=_NoLoop())  # type: ignore[arg-type]
_done.set_result(None)


@cython.freelist(64)
@cython.cclass
class Waiter:
    """What a waiting task waits for: as much of a future as a task needs."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_context",
        "_drive",
        "_loop",
        "_message",
        "done",
    )

    _asyncio_future_blocking: bool
    _callback: Any
    _cancelled: bool
    _context: Any
    _drive: Drive | None
    _loop: asyncio.AbstractEventLoop
    _message: Any
    done: bool

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """As of a future."""
        return self._loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """As of a future; there is one callback, the task's."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """As of a future."""
        if self.done:
            return False
        self.done = True
        self._cancelled = True
        self._message = msg  # anyio tells by it which scope was cancelled
        self._later()
        return True

    def result(self) -> None:
        """As of a future."""
        if self._cancelled:
            message = self._message
            raise asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    def wake(self) -> None:
        """Resume the task that waits, at once if no other task is running."""
        self.done = True
        drive = self._drive  # held: this may have let go of it by the time it is done
        if drive is not None:
            drive.resume()
            return
        callback = self._callback
        if callback is None:
            return  # it will look again before it waits
        try:
            self._context.run(callback, _done)
        except RuntimeError:  # a task cannot be entered while another one is running
            self._later()

    def finish(self) -> None:
        """Resume the task that waits, a little later."""
        self.done = True
        self._later()

    def _later(self) -> None:
        if self._callback is not None:
            self._loop.call_soon(self._callback, self, context=self._context)


def new_waiter(loop: asyncio.AbstractEventLoop) -> Waiter:
    """Something to wait for, in this loop."""
    waiter = Waiter.__new__(Waiter)
    waiter._loop = loop
    waiter._callback = waiter._context = waiter._drive = waiter._message = None
    waiter._cancelled = waiter.done = False
    waiter._asyncio_future_blocking = True  # as a future's __await__ does
    return waiter


class Drive(Step):
    """Runs a coroutine inside the task that awaits this, and resumes it where a message comes.

    While the coroutine waits for messages only, its task waits for one future, and every message
    resumes the coroutine without the task's help: as the task (`asyncio.current_task`,
    cancellation and timeouts work), in one context, but without a future and a callback per
    message. Once it waits for anything else, the task takes over.
    """

    __slots__ = (
        "_context",
        "_coroutine",
        "_error",
        "_loop",
        "_parked",
        "_pending",
        "_task",
    )

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.ready = False
        self._coroutine = coroutine
        # asyncio does not expose a task's context, so one copy is used for every step.
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._parked: Waiter | None = None  # what the task waits for meanwhile
        self._pending: Any = None  # what it has to wait for next, or the coroutine's result
        self._error: BaseException | None = None

    def step(self) -> Any:
        """The result, or what the task has to wait for."""
        if self._parked is not None:  # resumed in the meantime, and left with something to do
            self._parked = None
            return self._hand_over()
        return self._settle(self._coroutine.send, None)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """As of a coroutine: how a task is cancelled."""
        error = value if value is not None else kind
        pending = self._pending
        self._parked = self._pending = None
        if self.ready or self._error is not None:  # it has ended, and the task does not know yet
            raise error
        if pending is not None:
            pending.cancel()  # the task had no time to wait for it
        out = self._settle(self._coroutine.throw, error)
        if self.ready:
            raise StopIteration(out)
        return out

    def _hand_over(self) -> Any:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame
        out = self._pending
        self._pending = None
        return out

    def _settle(self, advance: Any, argument: Any) -> Any:
        """Advance the coroutine as a part of the task's own step."""
        try:
            out = self._context.run(advance, argument)
        except StopIteration as stop:
            self.ready = True
            return stop.value
        if type(out) is not Waiter:
            return out
        waiter = out
        waiter._drive = self
        self._parked = parked = new_waiter(self._loop)
        return parked

    def resume(self) -> None:
        """A message has come: advance the coroutine, in the name of its task."""
        parked = self._parked
        if parked is None or parked.done:  # done: the task is being cancelled
            return
        task = self._task
        loop = self._loop
        try:
            _enter_task(loop, task)
        except RuntimeError:  # another task is running
            loop.call_soon(self.resume)
            return
        try:
            out = advance(self._context, self._coroutine)
        except StopIteration as stop:
            self.ready = True
            self._pending = stop.value
        except BaseException as error:
            self._error = error
        else:
            if type(out) is Waiter:
                waiter = out
                waiter._drive = self
                return
            self._pending = out
        finally:
            _leave_task(loop, task)
        parked.finish()

    def close(self) -> None:
        """As of a coroutine."""
        self._coroutine.close()


def driven(work: Any) -> Any:
    """What is to be awaited in place of a handler's coroutine; anything else stays as it is."""
    return Drive(work) if asyncio.iscoroutine(work) else work
