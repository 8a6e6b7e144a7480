"""The simulated world: servers and clients in it, the same course for the same seed, what is
checked at the end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.extensions import Append, Reverse, Slow
from wsext import (
    App,
    Codec,
    ConnectionClosed,
    Extension,
    Frame,
    Listener,
    Session,
    WebSocketOptions,
    testing,
)
from wsext.testing import Conditions, SimulationFailed, World, calm, rough, seeds, simulate


def echo_app(**options: Any) -> App:
    app = App(options=WebSocketOptions(**options))

    @app.websocket("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


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


def test_a_client_that_reconnects_gets_through_a_rough_network() -> None:
    async def scenario(world: World) -> int:
        server = await world.serve(echo_app())
        answers = 0
        async for session in world.connect(server, "/echo"):
            try:
                await session.send("x")
                assert await session.receive() == "x"
            except ConnectionClosed:
                continue
            answers += 1
            if answers == 3:
                break
        return len(world.connections)

    assert max(simulate(scenario, seed, weather=rough) for seed in seeds(20)) > 3


def test_a_raw_peer_lives_in_the_world_too() -> None:
    async def scenario(world: World) -> None:
        server = await world.serve(echo_app())
        async with world.raw_peer(server, "/echo") as peer:
            peer.send_frame(Frame(1, b"hello"))
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == b"hello"
            peer.send_frame(Frame(1, b"x"), mask=False)
            assert await peer.receive_close() == 1002
            assert "→ GET /echo HTTP/1.1" in str(peer.transcript)

    for seed in seeds(10):
        simulate(scenario, seed)


def test_the_other_peers_work_in_virtual_time() -> None:
    async def scenario(world: World) -> None:
        async with testing.pair([Reverse]) as (client, server):
            await client.send("abc")
            assert await server.receive() == "abc"
            await client.clock.advance(3600)
            assert client.is_open
        async with testing.raw_peer(echo_app(), "/echo") as peer:
            await peer.clock.advance(20)
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.opcode == 9
            await peer.clock.advance(20)
            assert await peer.receive_close() == 1011

    simulate(scenario)


# --- what is found ------------------------------------------------------------------------------


class Forgetful(Codec):
    """Is closed twice, or never."""


class Forgotten(Extension):
    """Makes a codec more than it hands out."""

    name = "x-forgotten"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return Forgetful()

    def accept(self, offer: Any, ctx: Any) -> Any:
        self.make_codec(offer, ctx)
        return super().accept(offer, ctx)


def test_a_codec_that_is_never_closed_is_found() -> None:
    app = echo_app()
    app.install(Forgotten)

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        async with world.connect(server, "/echo", extensions=[Forgotten]):
            assert world.codecs_made == 3

    found = r"a codec of x-forgotten \(Forgetful\) was closed 0 times"
    with pytest.raises(SimulationFailed, match=found) as caught:
        simulate(scenario, 4)
    assert "the last events of the network" in caught.value.__notes__[0]
    assert "close" not in vars(Forgetful)  # everything is as it was


def test_what_wsext_logs_as_an_error_is_at_hand() -> None:
    app = App()

    class Broken(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            raise ValueError("broken")

    app.websocket("/")(Broken)

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        async with world.connect(server) as session:
            await session.send("x")
            assert (await session.wait_closed()).code == 1011
        (record,) = world.errors
        assert "listener failed" in record.getMessage()

    simulate(scenario)
