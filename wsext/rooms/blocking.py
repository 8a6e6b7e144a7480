"""Publishers for programs without an event loop, in that of a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Mapping
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
from wsext.runtime.portal import Lease

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
        self._open: tuple[Lease, Publisher] | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._make = partial(Publisher, backplane, timeout=timeout, name=name)
        self._make()  # what is wrong is said now
        _publishers.add(self)

    def __enter__(self) -> Self:
        self._opened()
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
            opened, self._open = self._open, None
        if opened is not None:
            opened[0].end()

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
        lease, publisher = self._opened()
        return lease.run(None, work, publisher)

    def _opened(self) -> tuple[Lease, Publisher]:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the publisher is closed")
            if self._open is None:
                lease, publisher = Lease(), self._make()
                try:
                    lease.run(None, publisher.__aenter__)
                except BaseException:
                    lease.end()
                    raise
                leave = partial(publisher.__aexit__, None, None, None)
                lease.close_with(leave, _LAST_SECONDS, self)
                self._open = lease, publisher
            return self._open

    def _forget(self) -> None:
        """A fork has made this process, and left the event loop behind."""
        self._lock = threading.Lock()  # a thread of the parent may have held it
        self._open = None


#: All of this process.
_publishers: WeakSet[BlockingPublisher] = WeakSet()


def _forget_all() -> None:
    for publisher in list(_publishers):
        publisher._forget()


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_forget_all)
