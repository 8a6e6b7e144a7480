"""An app's life in a process, from its first server to its last: rooms, lifespans, tasks.

::

    rooms start → lifespans start, in the order of registration → servers take connections
    handlers end → tasks are cancelled → lifespans end, the last one first → rooms end

One task enters and leaves all lifespans, for task groups and timeouts have to be left where they
were entered.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, TypeAlias, TypeVar

from wsext.app.handlers import describe
from wsext.errors import LifespanError
from wsext.escape import get_logger
from wsext.rooms.hub import Hub
from wsext.runtime.loop import refuse_other_thread

__all__ = ["AppLife", "Lifespan", "TypedState", "check_lifespan"]

logger = get_logger("wsext.app")

T = TypeVar("T")

Lifespan: TypeAlias = "Callable[[Any], AsyncIterator[None] | AbstractAsyncContextManager[None]]"

#: Seconds that tasks and lifespans get to end, at least.
_AT_LEAST = 3.0

#: Seconds that they get once they were cancelled because they took too long.
_LAST = 1.0


class TypedState(dict[type, Any]):
    """What an app has, by its class: ``app.state[Database] = database``.

    Type checkers know that ``app.state[Database]`` is a ``Database``.
    """

    def __getitem__(self, kind: type[T]) -> T:
        found: T = super().__getitem__(kind)
        return found

    def __setitem__(self, kind: type[T], value: T) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"app.state[{kind.__qualname__}] cannot be {value!r}")
        super().__setitem__(kind, value)

    def __missing__(self, kind: Any) -> Any:
        name = getattr(kind, "__qualname__", repr(kind))
        raise KeyError(f"nothing has set app.state[{name}]: a lifespan may")


def check_lifespan(function: Any) -> None:
    """Check that a function may be a lifespan.

    Raises:
        TypeError: If it may not; says what to write.
    """
    inner = inspect.unwrap(function)  # what `asynccontextmanager` was given
    fits = not (inspect.iscoroutinefunction(inner) or inspect.isgeneratorfunction(inner))
    try:
        inspect.signature(function).bind("app")
    except TypeError:
        fits = False
    if not fits:
        name = describe(function)
        short = name.rpartition(".")[2]
        raise TypeError(f"{name} is no lifespan; write: async def {short}(app), with a yield in it")


class AppLife:
    """The life of an app in this process, as long as somebody takes part in it.

    Args:
        app: The application.
        hub: Its rooms.
        lifespans: Entered in this order.
    """

    def __init__(self, app: Any, hub: Hub, lifespans: Sequence[Lifespan]) -> None:
        self._app = app
        self._hub = hub
        self._lifespans = lifespans
        self._run: _Run | None = None
        self._ending: _Run | None = None

    @property
    def has_begun(self) -> bool:
        """Whether lifespans have started, or are about to."""
        return self._run is not None

    async def begin(self, user: object, failed: Callable[[], object]) -> None:
        """Begin, unless it has; wait until all lifespans have started.

        Args:
            user: Who takes part until it calls `end`: a server.
            failed: Called when a task has failed, and so the user has to end.

        Raises:
            LifespanError: If a lifespan fails to start.
        """
        self._hub.hold(user)
        await self._hub.start()
        run = self._run
        if run is None or run.loop is not asyncio.get_running_loop():
            run = self._run = _Run(self._app, self._lifespans)
            run.begin()  # not before it is known here: with eager tasks a lifespan runs at once
        run.users[user] = failed
        await run.begun.wait()
        run.check()

    async def end(self, user: object, seconds: float = 0.0) -> None:
        """A user is done. After the last one, tasks and lifespans end; and then the rooms.

        Args:
            user: As `begin` was told.
            seconds: How long tasks and lifespans get; three seconds at least.

        Raises:
            LifespanError: If a task has failed, or a lifespan fails to end.
        """
        run = self._run
        try:
            if run is None or run.users.pop(user, None) is None:
                return
            if not run.users:
                self._run, self._ending = None, run
                await run.end(max(seconds, _AT_LEAST))
        finally:
            await self._hub.let_go(user)
        run.check()

    def hurry(self) -> None:
        """If tasks or lifespans are ending, cancel them."""
        if self._ending is not None:
            self._ending.cancel()

    def create_task(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Run a coroutine until the app ends; see `Application.create_task`."""
        run = self._run
        try:
            if run is None:
                raise RuntimeError(
                    "the app does not run: begin its tasks in a lifespan (@app.lifespan) or a"
                    " handler"
                )
            refuse_other_thread(run.loop, "app.create_task")
        except RuntimeError:
            work.close()  # or Python warns that nobody has awaited it
            raise
        return run.create_task(work, name)


class _Run:
    """Lifespans and tasks, from their beginning to their end."""

    def __init__(self, app: Any, lifespans: Sequence[Lifespan]) -> None:
        self.loop = asyncio.get_running_loop()
        self.users: dict[object, Callable[[], object]] = {}
        #: Set once all lifespans have started, or will not.
        self.begun = asyncio.Event()
        self._app = app
        self._lifespans = lifespans
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: LifespanError | None = None
        self._at = ""  # what starts or ends now
        self._life: asyncio.Task[None]

    def begin(self) -> None:
        """Enter the lifespans; `begun` tells when that is done."""
        self._life = self.loop.create_task(self._live(), name="lifespan")

    def check(self) -> None:
        """Raise what has failed first.

        Raises:
            LifespanError: If something has.
        """
        if self._failure is not None:
            raise self._failure
        if self._life.done() and not self._over.is_set():
            raise LifespanError(self._at, "was cancelled")

    async def end(self, seconds: float) -> None:
        """Cancel the tasks and leave the lifespans; what takes longer is cancelled, too."""
        if not self.begun.is_set():
            self._life.cancel()
        self._over.set()
        timer = self.loop.call_later(seconds, self.cancel)
        await asyncio.wait({self._life}, timeout=seconds + _LAST)
        timer.cancel()

    def cancel(self) -> None:
        """Wait no longer for what is ending."""
        if not self._life.done():
            logger.error("%s did not end in time: cancelled", self._at)
            self._life.cancel()

    # --- lifespans ----------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                try:
                    for lifespan in self._lifespans:
                        await self._enter(lifespan, stack)
                    self.begun.set()
                    await self._over.wait()
                finally:
                    await self._end_tasks()
        except LifespanError as error:
            self._note(error)
        finally:
            if self.begun.is_set():  # if there are users, a task group of a lifespan has failed
                self._end_users()
            self.begun.set()

    async def _enter(self, lifespan: Lifespan, stack: AsyncExitStack) -> None:
        name = f"lifespan {describe(inspect.unwrap(lifespan))}"
        with self._naming(name, "failed to start"):
            made: Any = lifespan
            if inspect.isasyncgenfunction(lifespan):
                made = asynccontextmanager(lifespan)
            context = made(self._app)
            yielded = await context.__aenter__()

            async def leave(*exc_info: Any) -> Any:
                with self._naming(name, "failed to end" if self._over.is_set() else "failed"):
                    return await context.__aexit__(*exc_info)

            stack.push_async_exit(leave)
            if yielded is not None and inspect.isasyncgenfunction(inspect.unwrap(lifespan)):
                kind = type(yielded).__qualname__
                raise TypeError(f"nobody gets the {kind} that it yields: use app.state[...] = ...")

    @contextmanager
    def _naming(self, name: str, problem: str) -> Iterator[None]:
        """Raise what fails as a `LifespanError`, but that of another lifespan as it is."""
        self._at = name
        try:
            yield
        except LifespanError:
            raise
        except Exception as error:
            raise LifespanError(name, problem) from error

    # --- tasks --------------------------------------------------------------------------------

    def create_task(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Run a coroutine until the end; see `Application.create_task`."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        failure = LifespanError(f"task {task.get_name()}", "failed")
        failure.__cause__ = error
        self._note(failure)
        if self.begun.is_set():
            self._end_users()
        else:
            self._life.cancel()

    async def _end_tasks(self) -> None:
        while tasks := [task for task in self._tasks if not task.done()]:
            self._at = f"task {', '.join(task.get_name() for task in tasks)}"
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _end_users(self) -> None:
        for failed in [*self.users.values()]:
            failed()

    def _note(self, failure: LifespanError) -> None:
        logger.error("%s", failure, exc_info=failure.__cause__)
        self._failure = self._failure or failure
