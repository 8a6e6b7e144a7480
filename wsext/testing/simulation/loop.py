"""How does time pass? An asyncio event loop that never waits: its clock jumps to the next timer.

It has no sockets, no threads and no processes. What is due at the same time happens in an order
that the program decides, so that a seed gives the same course each time.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from wsext.testing.simulation.errors import Deadlock, SimulationFailed
from wsext.testing.simulation.report import describe_task

__all__ = ["SimulatedLoop", "no_automatic_collection"]

#: Turns of the loop without any time passing, before that counts as going round in circles.
_MAX_TURNS = 200_000
#: Garbage is collected after so many turns, and not when the allocator says so: collecting may run
#: code, and that has to happen at the same moment each time.
_COLLECT_EVERY = 20_000
#: Runs after which what was made between them is collected.
_COLLECT_AFTER = 1000
_runs = itertools.count(1)
#: Seconds that a function in a thread takes, at most.
_THREAD_TIME = 0.01


class _Selector:
    """Waits for nothing; asyncio asks it how long to sleep, and it moves the clock instead."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass until the next timer.

        Raises:
            Deadlock: If nothing will ever happen again.
        """
        self._loop._advance(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs coroutines in virtual time.

    Args:
        rng: Decides how long functions in threads take.
        limit: Seconds of virtual time after which everything has to be over.

    Attributes:
        turns: How often the loop has gone round.
        problems: What asyncio would have logged as an error: ``Task exception was never retrieved``
            and so on.
    """

    def __init__(self, rng: Random, limit: float = 86400.0) -> None:
        super().__init__()
        self.turns = 0
        self.problems: list[str] = []
        self.limit = limit
        self._rng = rng
        self._now = 0.0
        self._turns_now = 0  # since time has passed
        self._task_numbers = itertools.count(1)
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._futures: WeakKeyDictionary[asyncio.Future[Any], str] = WeakKeyDictionary()
        self._selector = _Selector(self)
        self._scheduled: list[asyncio.TimerHandle]  # asyncio's heap of timers
        self._clock_resolution = 1e-9
        self.set_exception_handler(self._note_problem)

    # --- time ---------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    #: How long work takes: none of this time (`wsext.runtime.turns`).
    work_time = time

    def _advance(self, timeout: float | None) -> None:
        self.turns += 1
        if self.turns % _COLLECT_EVERY == 0:
            gc.collect()
        if timeout is not None and timeout <= 0:
            self._turns_now += 1
            if self._turns_now > _MAX_TURNS:
                self._fail(f"the loop went round {_MAX_TURNS} times, and no time passed")
            return
        self._turns_now = 0
        if not self._scheduled:  # asyncio has just removed cancelled ones from its head
            self._fail("nothing is ready, and no timer is set")
        when = self._scheduled[0].when()
        if when > self.limit:
            self._fail(f"not over after {self.limit:g} s of virtual time")
        self._now = max(self._now, when)

    def _fail(self, why: str) -> NoReturn:
        self._turns_now = 0
        raise Deadlock(why, [describe_task(task, self._futures) for task in self.tasks()])

    # --- what is left -------------------------------------------------------------------------

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, in the order of their making."""
        found = [(number, task) for task, number in list(self._tasks.items()) if not task.done()]
        return [task for _, task in sorted(found, key=lambda pair: pair[0])]

    def timers(self) -> list[str]:
        """What the timers that are set would call."""
        return [
            f"{_name(handle)} at {handle.when():.3f} s"
            for handle in sorted(self._scheduled, key=lambda handle: handle.when())
            if not handle.cancelled()
        ]

    def futures(self) -> list[str]:
        """Where the futures that nobody has finished were made."""
        return [
            place
            for future, place in list(self._futures.items())
            if not future.done() and not isinstance(future, asyncio.Task)
        ]

    async def settle(self, patience: float) -> None:
        """Wait until no other task and no timer is left, at most some virtual seconds."""
        until = self._now + patience
        me = asyncio.current_task()
        while self._now <= until:
            for _ in range(3):
                await asyncio.sleep(0)
            timers = [handle.when() for handle in self._scheduled if not handle.cancelled()]
            if not timers and not [task for task in self.tasks() if task is not me]:
                return
            await asyncio.sleep(max(min([*timers, until]) - self._now, 0.001))

    def stop_everything(self) -> None:
        """Cancel all tasks and close the loop."""
        with suppress(SimulationFailed):  # a task that refuses to be cancelled
            for _ in range(10):
                tasks = self.tasks()
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                self.limit = self._now + 1.0
                self.run_until_complete(asyncio.wait(tasks, timeout=0.5))
        with suppress(SimulationFailed):
            self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _note_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        text = str(context["message"])
        if error is not None:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            text += f" {error!r}"
            if place is not None:
                text += f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})"
        self.problems.append(text)

    # --- what asyncio asks of a loop ----------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        future = super().create_future()
        frame = sys._getframe(1)
        while frame.f_back is not None and _is_asyncio(frame.f_code.co_filename):
            frame = frame.f_back
        self._futures[future] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        return future

    def create_task(self, coro: Any, **options: Any) -> Any:
        number = next(self._task_numbers)
        if options.get("name") is None:
            options["name"] = f"task-{number}"  # asyncio's own numbers go on from test to test
        task = super().create_task(coro, **options)
        self._tasks[task] = number
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Call the function here, in one go; its future is done some virtual milliseconds later."""
        future = self.create_future()

        def call() -> None:
            try:
                result = func(*args)
            except Exception as error:
                self.call_later(rest, _finish, future, None, error)
            else:
                self.call_later(rest, _finish, future, result, None)

        begin, rest = self._rng.uniform(0, _THREAD_TIME), self._rng.uniform(0, _THREAD_TIME)
        self.call_later(begin, call)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps, so nobody has to be woken."""


def _refuse(loop: SimulatedLoop, *arguments: Any, **options: Any) -> NoReturn:
    raise NotImplementedError(
        "the simulated loop has no sockets, processes and signals: use world.serve() and "
        "world.connect(), and put something in memory in place of what else is real"
    )


_REAL = (
    "add_reader add_writer remove_reader remove_writer add_signal_handler remove_signal_handler "
    "create_connection create_server create_datagram_endpoint create_unix_connection "
    "create_unix_server connect_accepted_socket connect_read_pipe connect_write_pipe "
    "subprocess_exec subprocess_shell getaddrinfo getnameinfo start_tls sendfile "
    "sock_accept sock_connect sock_recv sock_recv_into sock_sendall sock_sendfile"
)
for _method in _REAL.split():
    setattr(SimulatedLoop, _method, _refuse)


def _finish(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _is_asyncio(path: str) -> bool:
    return "/asyncio/" in path.replace("\\", "/")


def _name(handle: asyncio.TimerHandle) -> str:
    """What a timer would call, as text."""
    callback = handle._callback  # type: ignore[attr-defined]
    callback = getattr(callback, "func", callback)  # of a functools.partial
    return str(getattr(callback, "__qualname__", callback))


@contextmanager
def no_automatic_collection() -> Iterator[None]:
    """Collect garbage only when it is asked for, and only what was made meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    if next(_runs) % _COLLECT_AFTER == 0:
        gc.collect()  # what was made between the runs, which `freeze` would hide from now on
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if was_enabled:
            gc.enable()
