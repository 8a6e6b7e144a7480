"""How code without an event loop calls into one: into that of a thread, which a process has once.

anyio starts the loop for the first who needs it, and ends it when the last one is done.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, finalize

from anyio.from_thread import BlockingPortal, BlockingPortalProvider

from wsext.escape import get_logger

__all__ = ["Lease"]

P = ParamSpec("P")
T = TypeVar("T")

logger = get_logger("wsext.portal")

#: Seconds that the loop may be late before it counts as blocked.
_BLOCKED = 1.0


class Lease:
    """Keeps the event loop of this process running, until `end`.

    Attributes:
        was_interrupted: Whether a call was interrupted, by Ctrl-C for example.
    """

    def __init__(self) -> None:
        self.was_interrupted = False
        self._farewell: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._patience = 0.0
        self._provider = _provider
        self._portal = _provider.__enter__()
        _leases.add(self)

    def close_with(
        self,
        farewell: Callable[[], Coroutine[Any, Any, None]],
        patience: float,
        owner: object = None,
    ) -> None:
        """Have something in the loop closed by `end`, which is called at the end of the program.

        Args:
            farewell: What closes it.
            patience: Seconds that it may take.
            owner: Whose lease it is: `end` is also called when it is garbage-collected. Nothing in
                the loop may refer to it.
        """
        self._farewell = farewell
        self._patience = patience
        if owner is not None:
            finalize(owner, self._forget).atexit = False

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self not in _leases

    @property
    def is_left_behind(self) -> bool:
        """Whether it is of another process, which was forked to make this one."""
        return self._provider is not _provider

    def run(
        self,
        seconds: float | None,
        work: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a coroutine function in the loop, and wait for what comes of it.

        It sees the context variables of the caller. Its errors are raised here, with tracebacks
        that leave out what is only the event loop's. Ctrl-C cancels it, and waits until it has
        ended: a second at most. After `end` it runs as well, and perhaps in another loop.

        Args:
            seconds: How long it may take; ``None`` for any time.
            work: The function; its arguments follow.

        Raises:
            TimeoutError: If it takes longer; it is cancelled then.
            RuntimeError: If this is the loop's own thread, or if the process was forked meanwhile.
        """
        if self.is_left_behind:
            problem = (
                "this belongs to the parent of the process, which has forked: open another one"
            )
            raise RuntimeError(problem)
        with self._provider as portal:  # the loop does not end while this waits
            task: list[asyncio.Task[Any]] = []
            try:
                future = _begin(portal, _within(task, seconds, work, *args, **kwargs))
                error = future.exception()
            except CancelledError:
                error = RuntimeError("the event loop has ended meanwhile")
            except Exception:  # it has not begun
                raise
            except BaseException:  # Ctrl-C, for example: nobody waits for it any more
                self.was_interrupted = True
                with suppress(TimeoutError, CancelledError):
                    _begin(portal, _undo(task)).result(_BLOCKED)
                raise
        if error is None:
            return future.result()
        if _is_over and threading.current_thread().daemon:
            threading.Event().wait()  # as in any call that waits when the program ends
        try:
            raise error.with_traceback(_without_loop(error.__traceback__))
        finally:
            del error, future  # the error's traceback has this frame

    def end(self) -> None:
        """Close what is open, and let go of the loop. A second call does nothing."""
        farewell = self._begin_end()
        if farewell is not None:
            self._finish_end(farewell)

    def _begin_end(self) -> Future[None] | None:
        """Begin to close what is open; ``None`` if that was done, or is another process's."""
        try:
            _leases.remove(self)
        except KeyError:
            return None
        return _begin(self._portal, self._say_farewell())

    def _finish_end(self, farewell: Future[None]) -> None:
        try:
            farewell.result(self._patience + _BLOCKED)
        except TimeoutError:
            logger.error("sessions were not closed: a function that they call does not return")
            return
        except BaseException:
            self._provider.__exit__(None, None, None)
            raise
        self._provider.__exit__(None, None, None)

    async def _say_farewell(self) -> None:
        if self._farewell is None:
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._farewell()
        except TimeoutError:
            pass
        except Exception as error:
            logger.error("closing failed", exc_info=error)

    def _forget(self) -> None:
        """The owner is gone. Any thread may be the one that collects garbage: it must not wait."""
        if not self.has_ended:
            with suppress(RuntimeError):  # the program ends
                threading.Thread(target=self.end, daemon=True).start()


def _begin(portal: BlockingPortal, work: Coroutine[Any, Any, T]) -> Future[T]:
    """Have a loop run a coroutine. The portal's own call waits for the loop twice."""
    try:
        loop = _loops.get(portal) or _loops.setdefault(portal, portal.call(_arrive))
        if asyncio._get_running_loop() is loop:
            raise RuntimeError(
                "this is the thread of the session's event loop, which would wait for itself: a"
                " function that a session calls must not call what waits"
            )
    except BaseException:
        work.close()
        raise
    return asyncio.run_coroutine_threadsafe(work, loop)


def _without_loop(trace: TracebackType | None) -> TracebackType | None:
    if trace is None:
        return None
    rest = _without_loop(trace.tb_next)
    if str(trace.tb_frame.f_globals.get("__name__")).startswith(("asyncio.", "concurrent.")):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)


def _arrive() -> asyncio.AbstractEventLoop:
    threading.current_thread().name = "wsext"
    return asyncio.get_running_loop()


async def _undo(task: list[asyncio.Task[Any]]) -> None:
    """Cancel a call, and wait until it has ended; its task is there, since it began before this."""
    for each in task:
        each.cancel()
    if task:
        await asyncio.wait(task)


async def _within(
    task: list[asyncio.Task[Any]],
    seconds: float | None,
    work: Callable[P, Coroutine[Any, Any, T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    if (current := asyncio.current_task()) is not None:
        task.append(current)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work(*args, **kwargs)
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"it took longer than {seconds:g} s") from None
        raise


# --- of this process --------------------------------------------------------------------------

_provider = BlockingPortalProvider()

#: The event loop of each portal: one at a time, or another one after it has ended.
_loops: WeakKeyDictionary[BlockingPortal, asyncio.AbstractEventLoop] = WeakKeyDictionary()

_leases: set[Lease] = set()

#: Whether the program ends: only its first thread and daemons are left.
_is_over = False

#: What the parent of a fork has open; it must not be closed here, even by garbage collection.
_left_behind: list[object] = []


def _end_all() -> None:
    """The program ends. From now on no thread can be started."""
    global _is_over
    _is_over = True
    for lease, farewell in [(lease, lease._begin_end()) for lease in list(_leases)]:
        if farewell is not None:
            lease._finish_end(farewell)


def _forget_all() -> None:
    """A fork has made this process, and left the thread behind."""
    global _provider
    _left_behind.extend((_provider, *_leases))
    for portal in {*_loops, *(lease._portal for lease in _leases)}:
        with suppress(StopIteration):  # it is never called again: it has to know that
            portal.stop().send(None)
    _provider = BlockingPortalProvider()
    _leases.clear()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_forget_all)
