"""Peers that mean harm: after each of them the server answers the next one, and logs no
traceback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import wsext
from tests.hostile import BAD_FRAMES, BAD_HEADERS, BAD_OFFERS, DEFLATE, ODD_REQUESTS
from tests.raw import REQUEST, fetch, masked, raw_peer
from tests.waiting import at_rest, until
from wsext import App, Server, ServerOptions, Session, WebSocketOptions


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    app = App(
        options=WebSocketOptions(max_message_size=100_000, close_timeout=0.5),
        server=ServerOptions(handshake_timeout=2),
    )
    app.install("permessage-deflate")

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext.serve(app) as server:
        yield server
        async with wsext.connect(server.url, extensions=["permessage-deflate"]) as session:
            await session.send("a normal session")
            assert await session.receive() == "a normal session"
    loud = [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]
    assert loud == []


@pytest.mark.parametrize(("data", "code"), BAD_FRAMES)
async def test_bad_frames_get_their_close_code(server: Server, data: bytes, code: int) -> None:
    async with raw_peer(server.port) as peer:
        assert "permessage-deflate" in await peer.shake(more=DEFLATE)
        peer.send(data)
        assert await peer.close_code() == code
        assert await peer.frame() is None  # and then the connection ends


@pytest.mark.parametrize("offers", BAD_OFFERS)
async def test_bad_offers_are_declined_and_never_a_500(server: Server, offers: str) -> None:
    async with raw_peer(server.port) as peer:
        head = await peer.shake(more=f"Sec-WebSocket-Extensions: {offers}\r\n")
        if "431" in head.split("\r\n")[0]:
            return
        assert head.startswith("HTTP/1.1 101")
        assert "Sec-WebSocket-Extensions" not in head
        peer.send(masked(1, b"plain"))
        frame = await peer.frame()
        assert frame is not None
        assert frame.payload == b"plain"


@pytest.mark.parametrize("header", BAD_HEADERS)
async def test_a_header_that_is_not_of_the_grammar_is_a_400(server: Server, header: str) -> None:
    async with raw_peer(server.port) as peer:
        head = await peer.shake(more=f"Sec-WebSocket-Extensions: {header}\r\n")
        assert head.startswith("HTTP/1.1 400")


async def test_a_good_offer_after_bad_ones_is_taken(server: Server) -> None:
    async with raw_peer(server.port) as peer:
        more = "Sec-WebSocket-Extensions: permessage-deflate; bogus=1, permessage-deflate\r\n"
        assert "Sec-WebSocket-Extensions: permessage-deflate\r\n" in await peer.shake(more=more)


async def test_resets_in_the_middle_of_everything(server: Server) -> None:
    head = REQUEST.format(path="/", more=DEFLATE).encode()
    frame = masked(1, b"a message that never ends")
    for data in (b"", b"GET", head[:-2], head, head + frame[:1], head + frame[:9], head + b"\xff"):
        async with raw_peer(server.port) as peer:
            peer.send(data)


async def test_a_ping_flood_from_a_peer_that_does_not_read_stays_small(server: Server) -> None:
    async with raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        flood = masked(9, b"p" * 125) * 2000
        for _ in range(40):
            peer.send(flood)
            await peer.writer.drain()
            assert session.buffered_amount < 4 << 20


async def test_a_peer_that_sends_and_never_reads_is_held_back(server: Server) -> None:
    async with raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        peer.send(masked(2, b"x" * 60_000) * 500)  # more than the system's buffers take
        received = await at_rest(lambda: session.stats.messages_in)
        assert received < 500
        assert session.buffered_amount < 1 << 20
        assert session.stats.waiting_in < 300


async def test_a_thousand_connections_that_come_and_go(server: Server) -> None:
    async def come_and_go(number: int) -> None:
        async with raw_peer(server.port) as peer:
            if number % 2:
                await peer.shake()

    for start in range(0, 1000, 100):
        await asyncio.gather(*(come_and_go(number) for number in range(start, start + 100)))
    async with wsext.connect(server.url):
        await until(lambda: (len(server.sessions), server.connection_count) == (1, 1))


@pytest.mark.parametrize("request_", ODD_REQUESTS)
async def test_odd_requests_are_answered_and_not_with_500(server: Server, request_: Any) -> None:
    status, _, _ = await fetch(server.port, request_)
    assert 400 <= status < 500
