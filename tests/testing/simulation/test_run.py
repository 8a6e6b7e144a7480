"""The simulated world: servers and clients in it, the same course for the same seed, what is
checked at the end."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import subprocess
import sys
import uuid

import pytest

from tests.extensions import Append, Slow
from tests.testing.simulation.scenarios import echo_app, in_virtual_time
from wsext import (
    App,
    ConnectionClosed,
    Session,
    WebSocketOptions,
)
from wsext.testing import Conditions, World, calm, rough, seeds, simulate


async def talk(world: World) -> tuple[bool, int]:
    """Two clients at once, with extensions; whether all went well, and what stands for the course
    of events."""
    app = echo_app()
    app.install(Append)
    app.install(Slow)
    server = await world.serve(app)

    async def one(http2: bool) -> None:
        options = {"extensions": [Append, Slow], "http2": http2}
        async with world.connect(server, "/echo", **options) as session:
            for size in (0, 5, 3000):
                await session.send("x" * size)
                assert await session.receive() == "x" * size

    results = await asyncio.gather(one(False), one(True), return_exceptions=True)
    if results == [None, None]:
        assert world.codecs_made == 8
    return results == [None, None], world.network.digest


def test_the_whole_stack_runs_on_any_network() -> None:
    courses = [simulate(talk, seed) for seed in seeds(30)]
    assert all(well for well, _ in courses)
    assert len(set(courses)) == len(courses)


def test_the_same_seed_gives_the_same_course_of_events() -> None:
    courses = [simulate(talk, seed, weather=rough)[1] for seed in range(8)]
    assert courses == [simulate(talk, seed, weather=rough)[1] for seed in range(8)]
    code = (
        "from tests.testing.simulation.test_run import *\n"
        "print(*(simulate(talk, seed, weather=rough)[1] for seed in range(8)))"
    )
    for hashing in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hashing},
        )
        assert list(map(int, done.stdout.split())) == courses


@pytest.mark.parametrize("http2", [False, True])
def test_keepalive_and_timeouts_of_a_session_are_virtual(http2: bool) -> None:
    app = echo_app(ping_interval=100, ping_timeout=50)
    ended: list[tuple[float, int]] = []

    @app.websocket("/quiet")
    async def quiet(session: Session) -> None:
        info = await session.wait_closed()
        ended.append((asyncio.get_running_loop().time(), info.code))

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        stalled = Conditions(stall=("client", 2000, 10_000.0))
        options = WebSocketOptions(ping_interval=None)
        connecting = world.connect(
            server, "/quiet", conditions=stalled, options=options, http2=http2
        )
        async with connecting:
            world.connections[0].stop_reading("client", 500.0)
            await asyncio.sleep(400)
            ((when, code),) = ended
            assert 150 <= when <= 170
            assert code == 1011

    simulate(scenario, weather=calm)


def test_a_handlers_own_timeout_is_virtual() -> None:
    app = App()

    @app.websocket("/hello")
    async def hello(session: Session) -> None:
        try:
            async with asyncio.timeout(3600):
                await session.receive()
        except TimeoutError:
            await session.close(4000, "you said nothing")

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        async with world.connect(server, "/hello") as session:
            with pytest.raises(ConnectionClosed, match="you said nothing"):
                await session.receive()
            assert asyncio.get_running_loop().time() >= 3600

    for seed in seeds(5):
        simulate(scenario, seed)


# --- what is found ------------------------------------------------------------------------------


def test_one_seed_can_be_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(seeds(3)) == [0, 1, 2]
    assert list(seeds(2, first=10)) == [10, 11]
    monkeypatch.setenv("WSEXT_SEED", "77")
    assert list(seeds(1000)) == [77]


def test_chance_comes_from_the_seed_and_is_given_back() -> None:
    async def work() -> tuple[object, ...]:
        return random.random(), secrets.token_hex(8), uuid.uuid4()

    random.seed(99)
    expected = random.random()
    random.seed(99)
    assert in_virtual_time(work, 3) == in_virtual_time(work, 3)
    assert in_virtual_time(work, 3) != in_virtual_time(work, 4)
    assert random.random() == expected
    assert secrets.token_hex(8) != secrets.token_hex(8)
