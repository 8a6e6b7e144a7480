"""ASGI applications in memory: FastAPI's, Starlette's and plain ones, with all that wsext has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from tests.integrations.served import Receive, Scope, Send, echo
from wsext import App, InvalidStatus, WebSocketOptions, testing
from wsext.integrations.asgi import session

DEFLATE = ["permessage-deflate"]


def starlette() -> Starlette:
    return Starlette(routes=[WebSocketRoute("/", starlette_echo)])


async def starlette_echo(websocket: Any) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def fastapi() -> FastAPI:
    api = FastAPI()
    api.websocket("/")(fastapi_echo)
    return api


async def fastapi_echo(websocket: WebSocket) -> None:
    await starlette_echo(websocket)


@pytest.mark.parametrize(
    "app", [echo, starlette(), fastapi()], ids=["plain", "Starlette", "FastAPI"]
)
async def test_any_application_runs_with_what_is_installed(app: Any) -> None:
    async with testing.connect(app, extensions=["permessage-zstd", *DEFLATE]) as client:
        assert [agreed.name for agreed in client.extensions] == ["permessage-zstd"]
        await client.send("hello " * 100)
        assert await client.receive() == "hello " * 100
        assert client.peer.extension("permessage-zstd")
        assert client.peer.stats.wire_bytes_in < 200
    assert "← HTTP/1.1 101 Switching Protocols" in str(client.transcript)
    with pytest.raises(LookupError):
        _ = client.peer


async def test_the_settings_are_those_that_are_given() -> None:
    settings = App(options=WebSocketOptions(max_message_size=10))
    async with testing.connect(echo, settings=settings, extensions=DEFLATE) as client:
        assert client.extensions == ()
        await client.send("far too much")
        assert (await client.wait_closed()).remote == (1009, "frame of 12 bytes; the limit is 10")
    with pytest.raises(InvalidStatus, match="403"):
        async with testing.connect(echo, origin="https://elsewhere.example"):
            pass


async def test_time_is_virtual() -> None:
    settings = App(options=WebSocketOptions(ping_interval=1000, ping_timeout=500))
    async with testing.raw_peer(echo, settings=settings) as peer:
        await peer.clock.advance(1001)
        ping = await peer.receive_frame()
        assert ping is not None
        assert ping.opcode == 9
        await peer.clock.advance(501)
        assert await peer.receive_close() == 1011


class Course:
    """A FastAPI app whose lifespan is noted."""

    def __init__(self, fails: str = "") -> None:
        self.events: list[str] = []
        self.fails = fails
        self.api = FastAPI(lifespan=self.lifespan)
        self.api.websocket("/")(self.tell)

    @asynccontextmanager
    async def lifespan(self, api: FastAPI) -> AsyncIterator[dict[str, str]]:
        self.events.append("begins")
        await asyncio.sleep(0)
        if self.fails == "start":
            raise LookupError("no database")
        yield {"place": "tea"}
        if self.fails == "end":
            raise LookupError("no database")
        self.events.append("ends")

    async def tell(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.state.place)
        await websocket.receive()


async def test_the_lifespan_lasts_from_the_first_client_to_the_last() -> None:
    course = Course()
    async with testing.connect(course.api) as one:
        async with testing.connect(course.api) as two:
            assert await one.receive() == await two.receive() == "tea"
            assert one.peer is not two.peer
        assert course.events == ["begins"]
    assert course.events == ["begins", "ends"]
    clients = (testing.connect(course.api) for _ in range(5))
    await asyncio.gather(*map(once, clients))
    assert course.events == ["begins", "ends"] * 2


async def once(opening: Any) -> None:
    async with opening as client:
        assert await client.receive() == "tea"


@pytest.mark.parametrize("fails", ["start", "end"])
async def test_a_lifespan_that_fails_fails_the_test(fails: str) -> None:
    course = Course(fails)
    for _ in range(2):  # it can be tried again
        with pytest.raises(RuntimeError, match="lifespan has failed") as caught:
            async with testing.connect(course.api) as client:
                assert await client.receive() == "tea"
        assert isinstance(caught.value.__cause__, LookupError)


def test_who_does_not_end_is_cancelled_when_the_test_does() -> None:
    ended = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(asyncio.get_running_loop().time())

    async def scenario(world: testing.World) -> None:
        async with testing.connect(app):
            pass

    testing.simulate(scenario)
    assert 0 < ended[0] < 10


async def test_http_is_answered_by_the_application_too() -> None:
    async with testing.raw_peer(fastapi(), shake=False) as peer:
        peer.send(b"GET /openapi.json HTTP/1.1\r\nHost: memory\r\n\r\n")
        response = await peer.receive_response()
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"


async def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a wsext.App or an ASGI application, got 'app'"):
        async with testing.connect("app"):
            pass
    with pytest.raises(TypeError, match="an App has its own"):
        async with testing.connect(App(), settings=App()):
            pass


async def test_the_session_of_a_websocket_is_found() -> None:
    found: list[Any] = []
    api = FastAPI()

    @api.websocket("/")
    async def route(websocket: WebSocket) -> None:
        found.extend([session(websocket), session(websocket.scope)])
        await websocket.accept()
        await found[0].send("from the session")
        await websocket.receive()

    async with testing.connect(api) as client:
        assert await client.receive() == "from the session"
        assert found == [client.peer] * 2
    hint = r"wsext\.integrations\.uvicorn:Protocol.*wsext\.testing\.connect"
    with pytest.raises(RuntimeError, match=hint):
        session({"type": "websocket", "extensions": {}})
