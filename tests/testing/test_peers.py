"""The in-memory peers run the full stack, with time that the test moves."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.extensions import Append, Reverse, Slow
from wsext import App, ConnectionClosed, Frame, InvalidStatus, Session, WebSocketOptions, testing


def echo_app(**options: object) -> App:
    app = App(options=WebSocketOptions(**options))  # type: ignore[arg-type]

    @app.websocket("/echo", subprotocols=["v2", "v1"])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


async def test_the_whole_stack_runs_without_a_socket() -> None:
    app = echo_app()
    app.install(Append)
    app.install(Reverse)
    offers = [Reverse, Append]
    async with testing.connect(app, "/echo", extensions=offers, subprotocols=["v1"]) as client:
        assert client.subprotocol == "v1"
        assert client.negotiation.header == "x-reverse, x-append; suffix=end"
        for message in ("hello", b"\x00" * 200_000, ""):
            await client.send(message)
            assert await client.receive() == message
        assert client.peer.stats.messages_in == 3
        await client.close(3000, "done")
    text = str(client.transcript)
    assert "→ GET /echo HTTP/1.1" in text
    assert "← HTTP/1.1 101 Switching Protocols" in text
    assert "→ TEXT         FIN RSV2+RSV3      8" in text
    assert "→ CLOSE        FIN           6  3000 done" in text
    assert [frame.opcode for frame in client.transcript.frames("client")] == [1, 2, 1, 8]
    assert client.transcript.raw("server").startswith(b"HTTP/1.1 101")


async def test_refusals_are_those_of_a_real_server() -> None:
    app = echo_app()
    with pytest.raises(InvalidStatus, match="404"):
        async with testing.connect(app, "/nothing"):
            pass


async def test_pings_time_out_on_the_virtual_clock() -> None:
    app = App(options=WebSocketOptions(ping_interval=1000, ping_timeout=500))

    @app.websocket("/")
    async def wait(session: Session) -> None:
        await session.wait_closed()

    started = time.perf_counter()
    async with testing.raw_peer(app) as peer:
        (session,) = peer.server.sessions
        await peer.clock.advance(999)
        assert peer.transcript.frames("server") == []
        await peer.clock.advance(2)
        ping = await peer.receive_frame()
        assert ping is not None
        assert ping.opcode == 9
        peer.send_frame(Frame(10, ping.payload))
        await peer.clock.advance(1498)
        assert session.is_open
        await peer.clock.advance(1001)
        assert await peer.receive_close() == 1011
    assert session.close_info.local == (1011, "ping timeout")
    assert time.perf_counter() - started < 2  # of more than 3,000 seconds


async def test_the_close_timeout_is_virtual_too() -> None:
    app = echo_app(close_timeout=3600)
    async with testing.raw_peer(app, "/echo") as peer:
        (session,) = peer.server.sessions
        session.close_nowait(1000)
        await peer.clock.advance(3599)
        assert session.close_info.remote is None
        closing = asyncio.ensure_future(session.wait_closed())
        await peer.clock.advance(2)
        info = await closing
        assert not info.clean


async def test_a_pair_has_both_sessions() -> None:
    async with testing.pair([Append], app_options=WebSocketOptions(max_message_size=10)) as (
        client,
        server,
    ):
        await server.send("down")
        assert await client.receive() == "down"
        await client.send("up")
        assert await server.receive() == "up"
        assert client.extension(Append)
        await client.send("far too much")
        with pytest.raises(ConnectionClosed, match="1009"):
            await client.receive()


async def test_an_asynchronous_codec_in_memory() -> None:
    async with testing.pair([Slow]) as (client, server):
        for number in range(10):
            await client.send(str(number))
        assert [await server.receive() for _ in range(10)] == [str(n) for n in range(10)]


async def test_a_raw_peer_sends_what_it_likes() -> None:
    async with testing.raw_peer(echo_app(), "/echo") as peer:
        peer.send_frame(Frame(1, b"x"), mask=False)
        assert await peer.receive_close() == 1002
        assert await peer.receive_frame() is None
    async with testing.raw_peer(echo_app(), shake=False) as peer:
        peer.send(b"nonsense\r\n\r\n")
        assert (await peer.receive_response()).status_code == 400


async def test_backpressure_works_in_memory() -> None:
    app = App(options=WebSocketOptions(outgoing_bytes=10_000))
    sent = 0

    @app.websocket("/")
    async def flood(session: Session) -> None:
        nonlocal sent
        for _ in range(100):
            await session.send(b"x" * 5000)
            sent += 1

    async with testing.raw_peer(app) as peer:
        peer.pause()
        await peer.clock.advance(0)
        held = sent
        assert held < 30
        await peer.clock.advance(5)
        assert sent == held
        peer.resume()
        assert await peer.receive_close() == 1000
        assert sent == 100


async def test_an_aborted_peer_is_1006() -> None:
    async with testing.pair() as (client, server):
        client.abort()
        assert (await server.wait_closed()).code == 1006
        assert (await client.wait_closed()).code == 1006
