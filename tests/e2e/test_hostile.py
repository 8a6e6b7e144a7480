"""Peers that mean harm: after each of them the server answers the next one, and logs no
traceback."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import wsext
from tests.raw import KEY, REQUEST, fetch, masked, raw_peer
from tests.waiting import at_rest, until
from wsext import App, Server, ServerOptions, Session, WebSocketOptions

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


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


def deflated(data: bytes, tail: bool = True) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return out[:-4] if tail else out


BOMB = deflated(bytes(1_000_000), False) * 49 + deflated(bytes(1_000_000))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(1, b"\xff\xfe"), 1007),
        (masked(3, b"x"), 1002),
        (masked(1, b"x", rsv=0x20), 1002),
        (masked(0, b"x"), 1002),
        (b"\x81\x05hello", 1002),
        (b"\x82\xff" + b"\xff" * 8 + KEY, 1002),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + KEY, 1009),
        (masked(2, b"x" * 100_001), 1009),
        (masked(2, b"x" * 60_000, False) + masked(0, b"x" * 60_000), 1009),
        (masked(1, b"", False) + masked(0, b"x", False) * 100_001, 1009),
        (masked(8, b"\x03\xee"), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(1, BOMB, rsv=0x40), 1009),
        (masked(2, BOMB[:20_000], False, 0x40) + masked(0, BOMB[20_000:]), 1009),
        (masked(1, b"\xff\xff\xff\xff", rsv=0x40), 1007),
        (masked(1, deflated(b"cut off in the middle", False)[:7], rsv=0x40), 1007),
        (masked(1, deflated(b"\xff"), rsv=0x40), 1007),
        (masked(1, b"\x01\x00\x00\xff\xff" * 5000, rsv=0x40), 1007),
        (masked(1, deflated(b"a"), False, 0x40) + masked(0, b"", True, 0x40), 1002),
    ],
)
async def test_bad_frames_get_their_close_code(server: Server, data: bytes, code: int) -> None:
    async with raw_peer(server.port) as peer:
        assert "permessage-deflate" in await peer.shake(more=DEFLATE)
        peer.send(data)
        assert await peer.close_code() == code
        assert await peer.frame() is None  # and then the connection ends


@pytest.mark.parametrize(
    "offers",
    [
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate" + "; a" * 3000,
        ", ".join(["x-nothing"] * 700),
    ],
)
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


@pytest.mark.parametrize("header", ["permessage-deflate; a=", ";;;,,,===", '"' * 1000, ""])
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


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"\xff: \xfe\r\n\r\n",
        b"GET /" + b"%ff" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET // HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 5000 + b"\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_odd_requests_are_answered_and_not_with_500(server: Server, request_: Any) -> None:
    status, _, _ = await fetch(server.port, request_)
    assert 400 <= status < 500
