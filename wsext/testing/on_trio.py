"""Sessions of `wsext.trio` without sockets, and the conformance kit on them.

    async with on_trio.connect(app, "/echo", extensions=["permessage-deflate"]) as client:
        await client.send("hello")

With ``trio.testing.MockClock(autojump_threshold=0)`` no timeout takes any time.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing

import wsext.trio
from wsext.app.application import Application
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.values import as_list

__all__ = ["MemoryListener", "OnTrio", "connect", "pair", "serving"]

#: Makes both ends of a connection.
MakeStreams = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Listens for connections in memory."""

    def __init__(self) -> None:
        self._opened, self._accepted = trio.open_memory_channel[trio.abc.Stream](math.inf)

    def open(self, make: MakeStreams = trio.testing.memory_stream_pair) -> trio.abc.Stream:
        """A new connection: the client's end.

        Args:
            make: Makes both ends, for example `trio.testing.lockstep_stream_pair`, which takes
                nothing that the other side does not read.
        """
        ours, theirs = make()
        self._opened.send_nowait(theirs)
        return ours

    async def accept(self) -> trio.abc.Stream:
        """As of a listener."""
        return await self._accepted.receive()

    async def aclose(self) -> None:
        """As of a listener."""
        await self._accepted.aclose()


@asynccontextmanager
async def serving(
    app: Application | Callable[..., Any], **how: Any
) -> AsyncIterator[tuple[wsext.trio.Server, MemoryListener]]:
    """A server that listens in memory, and its listener.

    Args:
        app: As for `wsext.trio.serve`.
        how: What else it takes.
    """
    listener = MemoryListener()
    outcome: BaseException | None = None
    async with trio.open_nursery() as nursery:
        serve = partial(wsext.trio.serve, app, listeners=[listener], **how)
        server = await nursery.start(serve)
        try:
            yield server, listener
            await server.close()
        except BaseException as error:  # it leaves the nursery in no group
            outcome = error
            nursery.cancel_scope.cancel()
    if outcome is not None:
        raise outcome


@asynccontextmanager
async def connect(
    app: Application | Callable[..., Any],
    path: str = "/",
    *,
    make: MakeStreams = trio.testing.memory_stream_pair,
    **options: Any,
) -> AsyncIterator[wsext.trio.Session]:
    """A session with an app, in memory: handshake, negotiation, extensions, handlers, everything.

    Args:
        app: The app, or a function of a session.
        path: The path and query.
        make: As for `MemoryListener.open`.
        options: What `wsext.trio.connect` takes.
    """
    async with serving(app) as (_, listener):
        opening = wsext.trio.connect(f"ws://memory{path}", stream=listener.open(make), **options)
        async with opening as session:
            yield session


@asynccontextmanager
async def pair(
    extensions: Iterable[Any] = (),
    *,
    client: Iterable[Any] | None = None,
    app_options: WebSocketOptions | None = None,
    client_options: WebSocketOptions | None = None,
    make: MakeStreams = trio.testing.memory_stream_pair,
) -> AsyncIterator[tuple[wsext.trio.Session, wsext.trio.Session]]:
    """A client's and a server's session with each other, in memory.

    Args:
        extensions: What both sides install.
        client: What the client installs instead.
        app_options: The `WebSocketOptions` of the server's side.
        client_options: Those of the client's.
        make: As for `MemoryListener.open`.
    """
    app = Application(options=app_options)
    extensions = as_list("extensions", extensions)
    for item in extensions:
        app.install(item)
    give, take = trio.open_memory_channel[wsext.trio.Session](1)

    @app.websocket("/")
    async def hand_over(session: Any) -> None:
        give.send_nowait(session)
        await session.wait_closed()

    offered = extensions if client is None else as_list("client", client)
    async with connect(app, extensions=offered, options=client_options, make=make) as session:
        yield session, await take.receive()


class OnTrio:
    """The ground of trio: a suite with ``ground = OnTrio()`` runs its sessions there."""

    pair = staticmethod(pair)

    def run(self, case: Coroutine[Any, Any, None]) -> None:
        """Run a case, with a clock that jumps where nothing else happens."""

        async def main() -> None:
            await case

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    async def say(self, session: Any, messages: Sequence[str]) -> None:
        """Send many messages at once; trio's tasks run in no order."""
        for message in messages:
            session.send_nowait(message)

    async def both(
        self, first: Callable[[], Any], second: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do two things at the same time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            nursery.start_soon(second)
