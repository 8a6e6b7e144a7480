"""A session that has lost its connection: when it dials again, and what may come of that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from wsext_resume import SessionResume

import wsext
from tests.relay import relaying
from wsext import (
    App,
    Backoff,
    ConnectionClosed,
    HandshakeRejected,
    InvalidStatus,
    NegotiationError,
    NotResumed,
    Request,
    Response,
    Session,
    testing,
)

FAST = Backoff(initial=0.001, maximum=0.01)
REFUSED = testing.Conditions(refuse=True)

Scenario = Callable[[testing.World], Awaitable[None]]


def echo_app(**options: Any) -> App:
    app = App()
    app.install(SessionResume(**options))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


def run(scenario: Scenario, *conditions: testing.Conditions | None, seed: int = 1) -> None:
    """A scenario on a calm network, where the first connections may have it otherwise."""
    left = list(conditions)

    def weather(rng: Random) -> testing.Conditions:
        return (left.pop(0) if left else None) or testing.Conditions()

    testing.simulate(scenario, seed, weather=weather)


def dial(world: testing.World, server: wsext.Server, **options: Any) -> Any:
    return world.connect(server, extensions=[SessionResume()], **options)


async def detached(session: Session) -> None:
    while session.connected:
        await asyncio.sleep(0.001)


# --- it goes on -------------------------------------------------------------------------------


def test_the_program_notices_nothing() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app())
        async with dial(world, server) as session:
            for number in range(20):
                if number % 5 == 4:
                    world.connections[-1].reset()
                await session.send(f"message {number}")
                assert await session.receive() == f"message {number}"
            assert session.resumptions == 4
            assert session.connected
            assert not session.fresh_start
        assert session.close_info.ok
        assert len(world.connections) == 5

    run(scenario)


CLIENT_READS = 420  # the answer, and some frames of an echo
SERVER_READS = 60


async def say_ten(world: testing.World) -> None:
    server = await world.serve(echo_app())
    async with dial(world, server, backoff=FAST) as session:
        world.connections[0].reset()
        for number in range(10):
            await session.send(f"message {number}")
        assert [await session.receive() for _ in range(10)] == [
            f"message {number}" for number in range(10)
        ]
    assert session.close_info.ok, session.close_info


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_second_connection_may_be_cut_at_any_byte(side: Any) -> None:
    for size in range(1, CLIENT_READS, 3) if side == "client" else range(1, 900, 7):
        run(say_ten, None, testing.Conditions(half_close_after=(side, size)))


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_close_frame_that_is_cut_off_arrives_all_the_same(side: Any) -> None:
    ends: list[int] = []
    app = App()
    app.install(SessionResume())

    @app.websocket("/")
    async def listen(session: Session) -> None:
        assert await session.receive() == "hello"
        ends.append((await session.wait_closed()).code)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        async with dial(world, server, backoff=FAST) as session:
            await session.send("hello")
            await session.flush()
            await session.close(4001, "done")
        assert session.close_info.code == 4001

    for size in range(230, 330) if side == "client" else range(200, 420):
        run(scenario, testing.Conditions(half_close_after=(side, size)))
    assert set(ends) == {4001}


def test_a_receive_and_a_send_may_be_cancelled_while_there_is_no_connection() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(echo_app())
        async with dial(world, server) as session:
            await session.send("one")
            assert await session.receive() == "one"
            world.connections[-1].reset()
            await detached(session)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await session.receive()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    while True:
                        await session.send("x" * 10_000)
            await session.send("two") if session.connected else None
            got = await session.receive()
            assert got == "x" * 10_000

    run(scenario, None, REFUSED, REFUSED)


async def test_a_server_that_is_gone_for_a_while() -> None:
    app = echo_app()
    async with wsext.serve(app) as server, relaying(server.port) as relay:
        async with wsext.connect(relay.url, extensions=[SessionResume()], backoff=FAST) as session:
            await session.send("one")
            assert await session.receive() == "one"
            relay.target, port = 1, relay.target  # nothing listens there
            relay.cut()
            await session.send("two")
            relay.target = port
            assert await session.receive() == "two"
            assert session.resumptions == 1


def test_a_fresh_token_is_made_for_each_attempt() -> None:
    tokens: list[str | None] = []
    app = echo_app()

    async def guard(request: Request) -> None:
        tokens.append(request.headers.get("Authorization"))
        request.identity = "ada"

    @app.websocket("/guarded", guards=[guard])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        count = 0

        async def headers() -> dict[str, str]:
            nonlocal count
            count += 1
            return {"Authorization": f"Bearer {count}"}

        opening = world.connect(
            server, "/guarded", extensions=[SessionResume()], headers=headers
        )
        async with opening as session:
            for text in ("one", "two", "three"):
                await session.send(text)
                assert await session.receive() == text
                world.connections[-1].reset()
            assert session.request.headers["Authorization"] == "Bearer 3"

    run(scenario)
    assert tokens[:3] == ["Bearer 1", "Bearer 2", "Bearer 3"]


# --- how long it waits ------------------------------------------------------------------------


def attempts(
    app: App, *conditions: testing.Conditions | None, seconds: float = 100, **options: Any
) -> tuple[list[float], Session]:
    """When a client has connected that loses its first connection at once."""
    times: list[float] = []
    sessions: list[Session] = []

    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        server = await world.serve(app)
        async with dial(world, server, **options) as session:
            sessions.append(session)
            world.connections[-1].reset()
            times.append(loop.time())
            end = loop.time() + seconds
            seen = 1
            while loop.time() < end and session.is_open:
                if len(world.connections) > seen:
                    seen = len(world.connections)
                    times.append(loop.time())
                await asyncio.sleep(0.01)
            session.abort()

    run(scenario, *conditions)
    return times, sessions[0]


def test_the_waits_grow_when_connections_are_accepted_and_fail_at_once() -> None:
    dropped = testing.Conditions(reset_after=700)
    times, session = attempts(echo_app(max_rate=6000), None, *[dropped] * 60, seconds=300)
    waits = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert len(waits) < 60
    assert max(waits) > 5
    assert max(waits) < 15.1  # a quarter of the window
    assert session.resumptions > 5


def refusing_app(status: int, headers: dict[str, str], times: int) -> App:
    """An app that refuses handshakes, but not the first one."""
    app = echo_app()
    count = 0

    @app.install
    class Refusal:
        pass

    return app
