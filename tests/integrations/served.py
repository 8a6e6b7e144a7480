"""An ASGI application under uvicorn in this process, with this project's protocol class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
from websockets.asyncio.client import connect as foreign_connect
from websockets.exceptions import InvalidStatus as ForeignInvalidStatus

from wsext import App
from wsext.integrations.uvicorn import WebSocketProtocol

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Running(NamedTuple):
    """A running server."""

    server: uvicorn.Server
    port: int

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@asynccontextmanager
async def running(
    app: Any,
    *,
    settings: App | None = None,
    ws: Any = None,
    lifespan: str = "off",
    **options: Any,
) -> AsyncIterator[Running]:
    """Serve on a free port until the block ends; then shut down as uvicorn does."""
    config = uvicorn.Config(
        app,
        port=0,
        ws=ws or WebSocketProtocol.using(settings or App()),
        lifespan=lifespan,
        log_config=None,
        timeout_graceful_shutdown=5,
        **options,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.on_tick(0)
    try:
        yield Running(server, server.servers[0].sockets[0].getsockname()[1])
    finally:
        await server.shutdown()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, and send every message back."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Recorder:
    """An application that accepts, and keeps every event after that."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await receive()
        await send({"type": "websocket.accept"})
        event: dict[str, Any] = {"type": ""}
        while event["type"] != "websocket.disconnect":
            event = await receive()
            self.events.put_nowait(event)


def sending(*messages: dict[str, Any]) -> Any:
    """An application that sends these, whatever comes, and then returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def refused(url: str) -> Any:
    """The response with which a handshake is refused."""
    with pytest.raises(ForeignInvalidStatus) as caught:
        await foreign_connect(url)
    return caught.value.response


def with_deflate() -> App:
    app = App()
    app.install("permessage-deflate")
    return app
