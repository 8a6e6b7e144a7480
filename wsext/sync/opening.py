"""How code without an event loop opens a session: `connect`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from wsext.client.connect import connect as asynchronous
from wsext.protocol.closing import CloseCode
from wsext.runtime.portal import Lease
from wsext.runtime.session import Session
from wsext.sync.session import BlockingSession

__all__ = ["Opening", "connect"]

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds for the closing handshake of a session that was interrupted, or that nobody has closed.
_PATIENCE = 1.0


class Opening:
    """What `wsext.sync.connect` returns; a ``with`` block, a ``for`` loop or `open` begins it."""

    def __init__(self, opening: asynchronous) -> None:
        self._opening = opening
        self._lease: Lease | None = None
        self._session: BlockingSession | None = None  # of a block, which may not name it

    def open(self) -> BlockingSession:
        """Open a session that stays open until `BlockingSession.close`, or until it is forgotten.

        Raises:
            Exception: As `connect`.
        """
        opening, self._lease = self._opening, Lease()
        try:
            session = self._lease.run(None, opening.__aenter__)
        except BaseException:
            self._lease.end()
            raise
        blocking = BlockingSession(session, self._lease)

        async def leave() -> None:
            session.close_nowait(CloseCode.GOING_AWAY)  # unless it is closed already
            await opening.__aexit__(None, None, None)

        self._lease.close_with(leave, _PATIENCE, blocking)
        return blocking

    def __enter__(self) -> BlockingSession:
        self._session = self.open()
        return self._session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._lease is not None
        leaves_at_once = isinstance(error, (KeyboardInterrupt, SystemExit))
        try:
            if not (leaves_at_once or self._lease.has_ended):
                self._lease.run(None, self._opening.__aexit__, kind, error, traceback)
        finally:
            self._lease.end()
            self._session = None

    def __iter__(self) -> Iterator[BlockingSession]:
        lease = Lease()
        sessions = cast("AsyncGenerator[Session]", aiter(self._opening))

        async def leave() -> None:
            with suppress(RuntimeError):  # a thread is just waiting for the next one
                await sessions.aclose()

        lease.close_with(leave, _PATIENCE)
        try:
            while True:
                session = lease.run(None, sessions.__anext__)
                yield BlockingSession(session, lease, is_shared=True)
        finally:
            if not lease.was_interrupted:
                lease.run(None, sessions.aclose)
            lease.end()


def _takes(kind: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Say of a function that its arguments are those of another one."""

    def decorate(function: Callable[..., T]) -> Callable[P, T]:
        signature = inspect.signature(kind).replace(return_annotation="Opening")
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


@_takes(asynchronous)
def connect(*args: Any, **kwargs: Any) -> Opening:
    """Open a session: ``with connect(url) as session``, or ``session = connect(url).open()``.

    ``for session in connect(url)`` opens one session after another, as ``async for`` does with
    `wsext.connect`. The arguments are those of `wsext.connect`, too; functions and listeners among
    them are called in the thread of the event loop, and must not wait there.

    All sessions of a process share one event loop, in a thread that ends with the last of them. A
    program that ends closes what it has left open with 1001.

    Raises:
        Exception: As `wsext.connect`, when it is opened; a `ValueError` at once.
    """
    return Opening(asynchronous(*args, **kwargs))
