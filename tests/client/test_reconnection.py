"""Reconnection: what is tried again, when, and how a session is left."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

import wsext
from wsext import (
    App,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    Session,
)
from wsext.client.reconnection import is_worth_retrying
from wsext.runtime.backoff import Backoff

FAST = Backoff(initial=0.001, maximum=0.01)


async def test_async_for_reconnects_until_it_is_left() -> None:
    app = App()
    count = 0

    @app.websocket("/")
    async def handler(session: Session) -> None:
        nonlocal count
        count += 1
        await session.send(str(count))
        await session.flush()
        if count == 2:
            session.abort()  # not even a goodbye

    got: list[Any] = []
    async with wsext.serve(app) as server:
        async for session in wsext.connect(server.url, backoff=FAST):
            async for message in session:
                got.append(message)
            if len(got) >= 4:
                break
    assert got == ["1", "2", "3", "4"]


async def test_async_for_waits_for_a_server_that_comes_back() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("hello")

    server = await wsext.serve(app)
    port = server.port
    await server.close()
    got: list[Any] = []

    async def read() -> None:
        async for session in wsext.connect(f"ws://127.0.0.1:{port}", backoff=FAST):
            async for message in session:
                got.append(message)
            return

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    async with wsext.serve(app, port=port):
        await reading
    assert got == ["hello"]


async def test_async_for_raises_what_another_attempt_cannot_mend() -> None:
    async with wsext.serve(App()) as server:
        sessions = aiter(wsext.connect(server.url, backoff=FAST))
        with pytest.raises(InvalidStatus, match="404"):
            await anext(sessions)


async def test_an_exception_in_the_block_closes_the_session_with_1011() -> None:
    app = App()
    codes: asyncio.Queue[int] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        codes.put_nowait((await session.wait_closed()).code)

    async with wsext.serve(app) as server:
        with pytest.raises(ZeroDivisionError):
            async with wsext.connect(server.url):
                _ = 1 / 0
        assert await codes.get() == 1011


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (InvalidStatus(503, {}), True),
        (InvalidStatus(429, {}), True),
        (InvalidStatus(404, {}), False),
        (InvalidHandshake("the connection ended before the server answered", cut_off=True), True),
        (InvalidHandshake("the connection ended before the server answered"), False),
        (InvalidHandshake("a wrong Sec-WebSocket-Accept"), False),
        (NegotiationError("is required"), False),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (ssl.SSLCertVerificationError(), False),
    ],
)
def test_what_may_mend_is_tried_again(error: Exception, again: bool) -> None:
    assert is_worth_retrying(error) is again
