"""What a scenario can do in a world."""

from __future__ import annotations

from tests.extensions import Reverse
from tests.testing.simulation.scenarios import echo_app
from wsext import (
    App,
    ConnectionClosed,
    Frame,
    Listener,
    Session,
    testing,
)
from wsext.testing import World, rough, seeds, simulate


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
