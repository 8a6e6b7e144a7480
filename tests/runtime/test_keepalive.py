"""Pings, their payloads and their ends; a connection that is gone is noticed."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wsext
from tests.raw import RawPeer, masked, raw_peer
from tests.waiting import until
from wsext import (
    App,
    CloseInfo,
    ConnectionClosedError,
    Frame,
    Session,
    WebSocketOptions,
    hookimpl,
    testing,
)

#: Seconds in which something has to happen that takes no time at all.
SOON = 3

PING = 9
PONG = 10


@asynccontextmanager
async def both_sides(**options: Any) -> AsyncIterator[tuple[Session, RawPeer]]:
    """A server's session, whose handler only waits, and the raw peer at its other end."""
    app = App(options=WebSocketOptions(close_timeout=0.2, **options))
    sessions: asyncio.Queue[Session] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        sessions.put_nowait(session)
        await session.wait_closed()

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        yield await sessions.get(), peer


async def next_frame(peer: RawPeer) -> Frame:
    async with asyncio.timeout(SOON):
        frame = await peer.frame()
    assert frame is not None, "the connection has ended"
    return frame


# --- what may be in a ping ------------------------------------------------------------------------


async def test_a_ping_of_more_than_125_bytes_is_refused_and_nothing_is_sent() -> None:
    async with both_sides() as (session, peer):
        with pytest.raises(ValueError, match="125"):
            async with asyncio.timeout(SOON):
                await session.ping(bytes(126))
        session.send_nowait("still here")
        assert (await next_frame(peer)).payload == b"still here"
        assert session.is_open


async def test_a_ping_of_125_bytes_is_sent() -> None:
    async with both_sides() as (session, peer):
        waiting = asyncio.create_task(session.ping(bytes(125)))
        frame = await next_frame(peer)
        assert (frame.opcode, bytes(frame.payload)) == (PING, bytes(125))
        peer.send(masked(PONG, bytes(125)))
        async with asyncio.timeout(SOON):
            assert await waiting >= 0


@pytest.mark.parametrize("payload", ["text", 5, ["a"]], ids=repr)
async def test_a_ping_of_anything_but_bytes_is_refused_and_nothing_is_sent(payload: Any) -> None:
    async with both_sides() as (session, peer):
        with pytest.raises(TypeError):
            async with asyncio.timeout(SOON):
                await session.ping(payload)
        session.send_nowait("still here")
        assert (await next_frame(peer)).payload == b"still here"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_a_ping_takes_whatever_is_like_bytes(kind: Any) -> None:
    async with both_sides() as (session, peer):
        waiting = asyncio.create_task(session.ping(kind(b"mine")))
        frame = await next_frame(peer)
        assert (frame.opcode, bytes(frame.payload)) == (PING, b"mine")
        peer.send(masked(PONG, b"mine"))
        async with asyncio.timeout(SOON):
            assert await waiting >= 0


# --- pings of the application beside the keepalive's -------------------------------------------


async def test_a_ping_may_have_the_payload_of_a_keepalive_that_is_under_way() -> None:
    async with both_sides(ping_interval=0.02, ping_timeout=60) as (session, peer):
        keepalive = await next_frame(peer)
        assert keepalive.opcode == PING
        waiting = asyncio.create_task(session.ping(bytes(keepalive.payload)))
        own = await next_frame(peer)
        assert (own.opcode, own.payload) == (PING, keepalive.payload)
        for frame in (keepalive, own):
            peer.send(masked(PONG, bytes(frame.payload)))
        async with asyncio.timeout(SOON):
            assert await waiting >= 0


async def test_a_keepalive_takes_no_ping_of_the_application_away() -> None:
    async with both_sides(ping_interval=0.02, ping_timeout=None) as (session, peer):
        first = bytes((await next_frame(peer)).payload)
        # A keepalive that counts will come to this payload, too.
        number = int.from_bytes(first, "big") + 10
        waiting = asyncio.create_task(session.ping(number.to_bytes(len(first), "big")))
        async with asyncio.timeout(SOON):
            for _ in range(20):  # the application's, and as many of the keepalive's
                frame = await next_frame(peer)
                last = bytes(frame.payload)
            peer.send(masked(PONG, last))  # which answers all that came before
            assert await waiting >= 0


# --- pings that get no pong -----------------------------------------------------------------------


async def test_a_connection_that_is_lost_fails_the_pings_that_wait() -> None:
    async with both_sides() as (session, peer):
        waiting = [asyncio.create_task(session.ping()) for _ in range(3)]
        for _ in waiting:
            await next_frame(peer)
        session.abort()
        async with asyncio.timeout(SOON):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionClosedError] * 3


@pytest.mark.parametrize("first", ["lost", "cancelled"])
async def test_who_is_cancelled_while_the_connection_is_lost_is_cancelled(first: str) -> None:
    async with both_sides() as (session, peer):
        waiting = asyncio.create_task(session.ping())
        await next_frame(peer)
        if first == "lost":
            session.abort()
            waiting.cancel()
        else:
            waiting.cancel()
            session.abort()
        async with asyncio.timeout(SOON):
            await asyncio.wait([waiting])
        assert waiting.cancelled(), waiting


async def test_a_timeout_that_fires_as_the_connection_is_lost_is_a_timeout() -> None:
    async with both_sides() as (session, peer):
        loop = asyncio.get_running_loop()
        outcome: list[BaseException] = []

        async def ping() -> None:
            try:
                async with asyncio.timeout(None) as limit:
                    limits.append(limit)
                    await session.ping()
            except Exception as error:
                outcome.append(error)

        limits: list[asyncio.Timeout] = []
        waiting = asyncio.create_task(ping())
        await next_frame(peer)
        session.abort()
        limits[0].reschedule(loop.time())
        async with asyncio.timeout(SOON):
            await waiting
        # Whichever is first, neither passes for the other.
        assert type(outcome[0]) in (TimeoutError, ConnectionClosedError)
        assert limits[0].expired() == isinstance(outcome[0], TimeoutError)


# --- who is gone ----------------------------------------------------------------------------------


async def a_sweep_of_the_server(port: int) -> None:
    """Wait until the server has looked at its sessions: then it finds who pings too much."""
    async with raw_peer(port) as peer:
        await peer.shake("/few-pings")
        peer.send(masked(PING, b"") * 100)
        async with asyncio.timeout(SOON):
            assert await peer.close_code() == 1008


def reset(peer: RawPeer) -> None:
    """End the connection with RST instead of FIN."""
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()


@pytest.mark.parametrize("count", [5, 5000], ids=["all was read", "more was to be read"])
async def test_a_reset_while_the_inbox_is_full_is_noticed_within_two_seconds(count: int) -> None:
    app = App(options=WebSocketOptions(incoming_capacity=4, ping_interval=None))
    ended: asyncio.Queue[tuple[str, CloseInfo]] = asyncio.Queue()
    release = asyncio.Event()

    class Ends:
        @hookimpl
        def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
            if session.request.path == "/":
                ended.put_nowait((session.id, info))

    app.install(Ends())

    @app.websocket("/")
    async def reads_nothing(session: Session) -> None:
        await release.wait()

    @app.websocket("/few-pings", options={"ping_rate": 1})
    async def handler(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        peer.send(masked(1, b"x" * 200) * count)
        async with asyncio.timeout(SOON):
            await until(lambda: session.stats.waiting_in >= 4)
        await a_sweep_of_the_server(server.port)  # nothing has come since then
        began = time.monotonic()
        reset(peer)
        try:
            async with asyncio.timeout(4):
                identity, info = await ended.get()
        finally:
            release.set()
        assert time.monotonic() - began < 2.5
    assert (identity, info.code) == (session.id, 1006)


async def times_of_pings(peer: testing.RawPeer, seconds: int, answer: bool) -> list[float]:
    """When the next pings come, second by second; a Close frame ends it, and is the last."""
    times = []
    for _ in range(seconds):
        await peer.clock.advance(1)
        while (waiting := await at_once(peer.receive_frame())) is not None:
            times.append(peer.clock.time())
            if waiting.opcode != PING:
                return times
            if answer:
                peer.send_frame(Frame(PONG, bytes(waiting.payload)))
    return times


async def at_once(work: Coroutine[Any, Any, Frame | None]) -> Frame | None:
    """The next frame if it is there, else ``None``."""
    try:
        async with asyncio.timeout(0):
            return await work
    except TimeoutError:
        return None


@pytest.mark.parametrize(
    ("interval", "patience", "answered", "silent"),
    [
        (5, 20, [5, 10, 15, 20], [5, 10, 15, 20, 25]),
        (5, 12, [5, 10, 15, 20], [5, 10, 15, 17]),
        (5, 5, [5, 10, 15, 20], [5, 10]),
        (5, 2, [5, 10, 15, 20], [5, 7]),
    ],
)
async def test_pings_come_as_often_as_is_said_however_long_their_answers_may_take(
    interval: float, patience: float, answered: list[float], silent: list[float]
) -> None:
    """The last of those that nobody answers is the Close frame."""
    app = App(options=WebSocketOptions(ping_interval=interval, ping_timeout=patience))

    @app.websocket("/")
    async def wait(session: Session) -> None:
        await session.wait_closed()

    async with testing.raw_peer(app) as peer:
        assert await times_of_pings(peer, 23, answer=True) == answered
    async with testing.raw_peer(app) as peer:
        assert await times_of_pings(peer, 30, answer=False) == silent
