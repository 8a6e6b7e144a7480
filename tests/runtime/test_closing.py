"""The end of a connection on its transport: who closes it, and how long that may take."""

from __future__ import annotations

import asyncio

import pytest

from tests.codecs import Counting
from wsext import App, Frame, Session, WebSocketOptions, testing
from wsext.runtime.held import Held
from wsext.testing import World, calm, simulate


def waiting_app(close_timeout: float) -> App:
    app = App(options=WebSocketOptions(close_timeout=close_timeout, ping_interval=None))

    @app.websocket("/")
    async def wait(session: Session) -> None:
        await session.wait_closed()

    return app


async def test_a_peer_that_never_answers_the_close_is_dropped_in_time() -> None:
    async with testing.raw_peer(waiting_app(60)) as peer:
        (session,) = peer.server.sessions
        session.close_nowait(4000, "bye")
        assert await peer.receive_close() == 4000
        await peer.clock.advance(59)
        assert peer.server.sessions
        await peer.clock.advance(1)
        info = await session.wait_closed()
        assert (info.local, info.remote, info.clean) == ((4000, "bye"), None, False)
        assert await peer.receive_frame() is None


async def test_a_server_closes_the_transport_as_soon_as_both_close_frames_have_travelled() -> None:
    """RFC 6455 §7.1.1."""
    async with testing.raw_peer(waiting_app(60)) as peer:
        (session,) = peer.server.sessions
        peer.send_frame(Frame(8, b"\x03\xe8"))
        assert await peer.receive_close() == 1000
        assert await peer.receive_frame() is None
        assert (await session.wait_closed()).clean
    assert peer.clock.time() == 0


@pytest.mark.parametrize(("close_timeout", "lingers"), [(60, 2), (0.5, 0.5)])
async def test_a_failed_connection_stays_for_a_moment_so_that_its_close_frame_can_be_read(
    close_timeout: float, lingers: float
) -> None:
    async with testing.raw_peer(waiting_app(close_timeout)) as peer:
        (session,) = peer.server.sessions
        peer.send_frame(Frame(1, b"not masked"), mask=False)
        assert await peer.receive_close() == 1002
        assert await peer.receive_frame() is None  # nothing more is written
        await peer.clock.advance(lingers - 0.1)
        assert session in peer.server.sessions
        await peer.clock.advance(0.1)
        assert session not in peer.server.sessions
        assert session.close_info.local is not None


async def test_the_codecs_of_a_failed_connection_are_closed_at_once() -> None:
    """What they hold would be held for as long as the peer has to read the Close frame."""
    app = waiting_app(60)
    counting = app.install(Counting)
    app.install("permessage-deflate")
    async with testing.raw_peer(app, extensions="x-counting, permessage-deflate") as peer:
        (session,) = peer.server.sessions
        assert Held.of(session).codecs > 0
        peer.send_frame(Frame(1, b"not masked"), mask=False)
        assert await peer.receive_close() == 1002
        assert session in peer.server.sessions
        assert counting.closed == 1
        assert Held.of(session).codecs == 0
    assert counting.closed == 1


def test_a_client_gives_a_server_that_does_not_answer_the_same_time() -> None:
    async def scenario(world: World) -> None:
        server = await world.serve(waiting_app(1000))
        options = WebSocketOptions(close_timeout=30, ping_interval=None)
        async with world.connect(server, options=options) as session:
            world.connections[0].stop_reading("server", 100.0)
            began = asyncio.get_running_loop().time()
            await session.close(4000)
            assert asyncio.get_running_loop().time() - began == 30
            info = session.close_info
            assert (info.local, info.remote, info.clean) == ((4000, ""), None, False)

    simulate(scenario, weather=calm)
