"""What tests of sessions share: an app with one handler, and what its peers get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.raw import RawPeer
from wsext import (
    App,
    CloseInfo,
    ConnectionClosed,
    Session,
    WebSocketOptions,
    hookimpl,
)

__all__ = [
    "SOON",
    "Ends",
    "Handler",
    "app_of",
    "echo_app",
    "frames_until_the_end",
    "messages_of",
    "turn",
    "two_parts",
]

#: Seconds in which something has to happen that takes no time at all.
SOON = 3

Handler = Callable[[Session], Awaitable[None]]


def app_of(handler: Handler, *extensions: Any, **options: Any) -> App:
    app = App(options=WebSocketOptions(**{"close_timeout": 0.2, **options}))
    for extension in extensions:
        app.install(extension)
    app.websocket("/")(handler)
    return app


async def frames_until_the_end(peer: RawPeer) -> list[tuple[int, bytes]]:
    """The frames up to the end of the stream, which has to come soon."""
    found = []
    async with asyncio.timeout(SOON):
        while (frame := await peer.frame()) is not None:
            found.append((frame.opcode, bytes(frame.payload)))
    return found


async def messages_of(session: Session) -> list[Any]:
    """What comes, up to the session's end, which has to come soon."""
    found = []
    async with asyncio.timeout(SOON):
        try:
            while True:
                found.append(await session.receive())
        except ConnectionClosed:
            return found


async def turn() -> None:
    """Let the event loop write."""
    await asyncio.sleep(0)


async def two_parts() -> AsyncIterator[str]:
    """A message in fragments."""
    yield "one "
    yield "two"


def echo_app(**options: Any) -> App:
    app = App(options=WebSocketOptions(**options))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


class Ends:
    """An app whose sessions tell how they ended."""

    def __init__(self, **options: Any) -> None:
        self.app = App(options=WebSocketOptions(**options))
        self.infos: asyncio.Queue[CloseInfo] = asyncio.Queue()

        self.app.install(self)
        self.route = self.app.websocket("/")

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        self.infos.put_nowait(info)
