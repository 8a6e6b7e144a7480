"""What runs the cases that need whole sessions: asyncio, or something that is used like it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from wsext.testing.peers import pair

__all__ = ["Ground", "OnAsyncio"]

#: Seconds that a case may take; nothing in it waits for time to pass.
_PATIENCE = 60.0


class Ground(Protocol):
    """Runs cases, and brings a client's and a server's session together."""

    def run(self, case: Coroutine[Any, Any, None]) -> None:
        """Run a case to its end, whatever runs the tests."""

    def pair(
        self, extensions: Iterable[Any] = (), *, client: Iterable[Any] | None = None
    ) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """A client's and a server's session with each other, in memory; see `wsext.testing.pair`.

        Args:
            extensions: What both sides install.
            client: What the client installs instead.
        """

    async def say(self, session: Any, messages: Sequence[str]) -> None:
        """Send many messages at once, in this order."""

    async def both(
        self, first: Callable[[], Any], second: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do two things at the same time."""


class OnAsyncio:
    """The ground of asyncio."""

    pair = staticmethod(pair)

    def run(self, case: Coroutine[Any, Any, None]) -> None:
        """Run a case on an event loop of its own."""
        # `asyncio.run` would take away the current loop, which other plugins of pytest keep.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(asyncio.wait_for(case, _PATIENCE))

    async def say(self, session: Any, messages: Sequence[str]) -> None:
        """Send many messages at once, each from a task of its own."""
        await asyncio.gather(*map(session.send, messages))

    async def both(
        self, first: Callable[[], Any], second: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do two things at the same time."""
        await asyncio.gather(first(), second())
