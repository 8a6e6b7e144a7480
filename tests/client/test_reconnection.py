"""Reconnection: what is tried again, when, and how a session is left."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

import wsext
from wsext import (
    App,
    HandshakeRejected,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    Request,
    Session,
    testing,
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
    fresh = []
    async with wsext.serve(app) as server:
        async for session in wsext.connect(server.url, backoff=FAST):
            fresh.append(session.fresh_start)
            async for message in session:
                got.append(message)
            if len(got) >= 4:
                break
    assert got == ["1", "2", "3", "4"]
    assert fresh == [False, True, True, True]


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
        (InvalidStatus(408, {}), True),
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


# --- how long it waits, in virtual time -------------------------------------------------------


def attempts(
    app: App, seconds: float, backoff: Backoff, *, seed: int = 1, conditions: Any = None
) -> list[float]:
    """When a client that reconnects for some seconds has connected, accepted or not."""
    times: list[float] = []

    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        server = await world.serve(app)

        async def go_on() -> None:
            client = world.connect(server, backoff=backoff, conditions=conditions)
            async for session in client:
                async for _ in session:
                    pass

        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                task = asyncio.ensure_future(go_on())
                seen = 0
                while not task.done():
                    if len(world.connections) > seen:
                        seen = len(world.connections)
                        times.append(loop.time())
                    await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})

    testing.simulate(scenario, seed, weather=testing.calm)
    return times


def waits(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def closing_app(code: int, after: float = 0.0) -> App:
    app = App()

    @app.websocket("/")
    async def leave(session: Session) -> None:
        await asyncio.sleep(after)
        await session.close(code)

    return app


def refusing_app(status: int, **headers: str) -> App:
    app = App()

    async def refuse(request: Request) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        raise HandshakeRejected(status, headers=names)

    @app.websocket("/", guards=[refuse])
    async def never(session: Session) -> None:
        raise AssertionError

    return app


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000])
def test_the_wait_grows_while_sessions_end_at_once(code: int) -> None:
    for seed in range(3):
        found = waits(attempts(closing_app(code), 200, Backoff(), seed=seed))
        for number, wait in enumerate(found):
            assert wait <= min(0.5 * 2**number, 60) + 0.1, found
        assert 7 <= len(found) <= 20
        assert max(found) > 10


def test_the_wait_begins_anew_after_a_session_that_has_lasted() -> None:
    backoff = Backoff(maximum=4, lasting=10)
    short = waits(attempts(closing_app(1011, after=9), 200, backoff))
    assert max(short) > 9 + 1.9
    long = waits(attempts(closing_app(1011, after=11), 200, backoff))
    assert all(wait < 11 + 0.6 for wait in long)
    usual = waits(attempts(closing_app(1011, after=5), 200, Backoff(maximum=4)))
    assert all(wait < 5 + 0.6 for wait in usual)


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_busy_server_is_left_alone(code: int) -> None:
    found = waits(attempts(closing_app(code), 200, Backoff()))
    assert all(5 <= wait <= 60.1 for wait in found)
    assert found[0] < 31
    assert len(found) >= 3
    quick = waits(attempts(closing_app(code), 30, Backoff(maximum=2)))
    assert all(1.9 <= wait <= 2.1 for wait in quick)


def test_waits_are_spread() -> None:
    firsts = {attempts(closing_app(1013), 40, Backoff(), seed=seed)[1] for seed in range(5)}
    assert len(firsts) == 5
    asked = refusing_app(503, Retry_After="20")
    firsts = {attempts(asked, 40, Backoff(), seed=seed)[1] for seed in range(5)}
    assert len({round(first, 3) for first in firsts}) > 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(status: int) -> None:
    found = waits(attempts(refusing_app(status, Retry_After="20"), 200, Backoff(maximum=4)))
    assert found
    assert all(20 <= wait <= 24.1 for wait in found)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    first, *_ = waits(attempts(refusing_app(status, Retry_After=date), 200, Backoff()))
    assert 50 < first < 61


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "٣", "Wed, 99 Foo 2015 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    app = refusing_app(503, Retry_After=value.encode().decode("latin-1"))
    first, *_ = waits(attempts(app, 20, Backoff()))
    assert first < 0.6


def test_a_server_cannot_send_a_client_away_for_ever() -> None:
    app = refusing_app(503, Retry_After="9" * 400)
    found = waits(attempts(app, 300, Backoff(longest_asked=100)))
    assert 100 <= found[0] <= 101


def test_connections_that_are_dropped_at_once_are_waited_for_longer_and_longer() -> None:
    conditions = testing.Conditions(reset_after=0)
    found = waits(attempts(closing_app(1000), 200, Backoff(), conditions=conditions))
    assert len(found) <= 12
    assert found[-1] > 20
