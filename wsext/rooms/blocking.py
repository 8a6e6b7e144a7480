"""Publishers for programs without an event loop: one in a thread behind each."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from wsext.rooms.audience import Sayable
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.heard import RoomMessage
from wsext.rooms.ports import Key
from wsext.rooms.presence import Presence
from wsext.rooms.publisher import MakeBackplane, Publisher

__all__ = ["BlockingPublisher"]

T = TypeVar("T")

#: Seconds that the end of a program waits for what is under way.
_LAST_SECONDS = 5.0


class BlockingPublisher:
    """A `Publisher` for programs without an event loop: every method waits for its result.

    It can be made anywhere, also as a global of a module. It connects when it is first used, or
    when its ``with`` block begins, and stays connected until `close` or the block's end. At the
    program's end it closes by itself.

    Any number of threads may use one. After a fork, the child connects anew when it uses it; what
    the parent was publishing, the parent goes on to publish. In a function that runs on an event
    loop it would stop that loop while it waits: use `Publisher` there.

    Args:
        backplane, timeout, name: As `Publisher`.

    Raises:
        OptionError: As `Publisher`.
    """

    def __init__(
        self, backplane: MakeBackplane, *, timeout: float = 10.0, name: str = "publisher"
    ) -> None:
        self._running: _Running | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._make = partial(Publisher, backplane, timeout=timeout, name=name)
        self._make()  # what is wrong is said now
        _publishers.add(self)

    def __enter__(self) -> Self:
        with self._lock:
            self._started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect. What other threads are publishing is still sent, if that is possible soon."""
        with self._lock:
            self._is_closed = True
            running, self._running = self._running, None
        if running is not None:
            running.end()
            running.wait_ended()

    def __del__(self) -> None:
        if self._running is not None:
            self._running.end()  # without waiting: any thread may be the one that collects garbage

    def publish(
        self,
        room: str,
        data: Sayable,
        *,
        id: str | None = None,
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Position | None:
        """Send a message to everybody in a room; see `Publisher.publish`."""
        return self._do(
            lambda publisher: publisher.publish(room, data, id=id, key=key, hints=hints, meta=meta)
        )

    def presence(self, room: str) -> list[Presence]:
        """Who is in a room, over all processes; see `Publisher.presence`."""
        return self._do(lambda publisher: publisher.presence(room))

    def history(self, room: str, count: int) -> list[RoomMessage]:
        """The last messages of a room, oldest first; see `Publisher.history`."""
        return self._do(lambda publisher: publisher.history(room, count))

    def rooms(self, most: int = 1000) -> list[str]:
        """Names of rooms that have messages or members; see `Publisher.rooms`."""
        return self._do(lambda publisher: publisher.rooms(most))

    def _do(self, work: Callable[[Publisher], Coroutine[Any, Any, T]]) -> T:
        result: Future[T] | None = None
        try:
            with self._lock:  # whatever begins does so before `close` says that all ends
                result = self._started().begin(work)
            return result.result()
        except CancelledError:
            raise RuntimeError("the publisher was closed meanwhile") from None
        except BaseException:  # Ctrl-C, for example: nobody waits for it any more
            if result is not None:
                result.cancel()
            raise

    def _started(self) -> _Running:
        if self._is_closed:
            raise RuntimeError("the publisher is closed")
        if self._running is None:
            self._running = _Running(self._make())
        return self._running

    def _forget(self) -> None:
        """A fork has made this process, and left the thread behind."""
        if self._running is not None:
            _left_behind.append(self._running)
        self._lock = threading.Lock()  # a thread of the parent may have held it
        self._running = None


class _Running:
    """A publisher that is open, on an event loop in a thread of its own."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._ended = asyncio.Event()
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        # A daemon: before the end of a program tells anybody, it waits for all other threads.
        self._thread = threading.Thread(target=self._run, name="wsext-publisher", daemon=True)
        self._thread.start()
        self._loop = self._started.result()

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        try:
            await self._publisher.__aenter__()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        try:
            await self._ended.wait()
        finally:
            await self._publisher.__aexit__(None, None, None)

    def begin(self, work: Callable[[Publisher], Coroutine[Any, Any, T]]) -> Future[T]:
        """Have the publisher do something."""
        return asyncio.run_coroutine_threadsafe(work(self._publisher), self._loop)

    def end(self) -> None:
        """Begin to close the publisher."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._ended.set)

    def wait_ended(self) -> None:
        """Wait until it is closed, but not for ever."""
        self._thread.join(_LAST_SECONDS)


#: All of this process.
_publishers: WeakSet[BlockingPublisher] = WeakSet()

#: What the parent of a fork has open; it must not be closed here, even by garbage collection.
_left_behind: list[_Running] = []


def _close_all() -> None:
    for publisher in list(_publishers):
        publisher.close()


def _forget_all() -> None:
    for publisher in list(_publishers):
        publisher._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_forget_all)
