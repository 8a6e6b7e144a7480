"""Clients that keep a server under uvicorn waiting, or leave it."""

from __future__ import annotations

import asyncio

import pytest

import wsext
from tests.integrations.served import Receive, Scope, Send, echo, running
from tests.raw import REQUEST, raw_peer
from tests.waiting import until
from wsext import App, Request, ServerOptions, hookimpl


class Hanging:
    """A hook that takes its time, and tells how it ended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    @hookimpl
    async def wsext_handshake(self, request: Request) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def test_a_hook_that_hangs_ends_with_the_handshake_timeout() -> None:
    settings = App(server=ServerOptions(handshake_timeout=0.1))
    settings.install(hook := Hanging())
    async with running(echo, settings=settings) as server, raw_peer(server.port) as peer:
        peer.send(REQUEST.format(path="/", more="").encode())
        assert await peer.reader.read() == b""
        await hook.cancelled.wait()


async def test_a_hook_is_cancelled_when_the_client_leaves() -> None:
    settings = App()
    settings.install(hook := Hanging())
    async with running(echo, settings=settings) as server:
        async with raw_peer(server.port) as peer:
            peer.send(REQUEST.format(path="/", more="").encode())
            await hook.asked.wait()
        await hook.cancelled.wait()
        await until(lambda: not server.server.server_state.connections)


async def test_an_application_that_does_not_answer_loses_the_client_in_time() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            events.append((await receive())["type"])

    settings = App(server=ServerOptions(handshake_timeout=0.1))
    async with running(app, settings=settings) as server, raw_peer(server.port) as peer:
        peer.send(REQUEST.format(path="/", more="").encode())
        assert await peer.reader.read() == b""
    assert events == ["websocket.connect", "websocket.disconnect"]


async def test_a_session_outlives_the_handshake_timeout() -> None:
    settings = App(server=ServerOptions(handshake_timeout=0.1))
    async with running(echo, settings=settings) as server, wsext.connect(server.ws) as session:
        await asyncio.sleep(0.2)  # nothing tells that nothing happens
        await session.send("on")
        assert await session.receive() == "on"


@pytest.mark.parametrize("parts", [1, 1000])
async def test_a_client_that_does_not_read_a_denial_is_dropped_in_time(parts: int) -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "websocket.http.response.start", "status": 403})
            for left in reversed(range(parts)):
                body = bytes(20_000_000 // parts)
                await send(
                    {"type": "websocket.http.response.body", "body": body, "more_body": left > 0}
                )
        finally:
            ended.set()

    settings = App(server=ServerOptions(handshake_timeout=0.1))
    async with running(app, settings=settings) as server, raw_peer(server.port) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(REQUEST.format(path="/", more="").encode())
        await ended.wait()
        await until(lambda: not server.server.server_state.connections)
