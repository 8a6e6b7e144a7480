"""The one way out: what is sent arrives whole, in order and before the Close frame, or its sender
and the peer are told; slow codecs and slow peers change nothing about it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

import wsext
from tests.codecs import AsyncBroken, Broken, Gated
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of, frames_until_the_end, messages_of, turn, two_parts
from tests.waiting import sessions_gone
from wsext import ConnectionClosed, QueueFull, Session

GATED = "Sec-WebSocket-Extensions: x-gated\r\n"


# --- after a stream -------------------------------------------------------------------------------


async def test_a_send_beside_a_stream_waits_for_its_end() -> None:
    go_on = asyncio.Event()
    half_way = asyncio.Event()
    waited: list[bool] = []

    async def parts() -> AsyncIterator[str]:
        yield "one "
        half_way.set()
        await go_on.wait()
        yield "two"

    async def handler(session: Session) -> None:
        stream = asyncio.create_task(session.send(parts()))
        await half_way.wait()
        beside = asyncio.create_task(session.send("beside"))
        await turn()
        waited.append(not beside.done())
        go_on.set()
        await asyncio.gather(stream, beside)

    async with wsext.serve(app_of(handler)) as server, wsext.connect(server.url) as session:
        assert await messages_of(session) == ["one two", "beside"]
    assert waited == [True]


async def test_a_stream_that_is_cancelled_while_the_peer_does_not_read_sends_nothing() -> None:
    large = b"x" * 50_000_000
    cancelled = asyncio.Event()

    async def handler(session: Session) -> None:
        session.send_nowait(large)
        stream = asyncio.create_task(session.send(two_parts()))
        await turn()
        stream.cancel()
        await asyncio.wait([stream])
        assert stream.cancelled(), "the peer has read it all"
        cancelled.set()
        await session.send("after")

    async with (
        wsext.serve(app_of(handler)) as server,
        raw_peer(server.port) as peer,
    ):
        await peer.shake()
        await cancelled.wait()
        frame = await peer.frame()
        assert frame is not None
        assert frame.size == len(large)
        assert await frames_until_the_end(peer) == [(1, b"after"), (8, b"\x03\xe8")]


# --- the overflow policy behind an asynchronous codec ------------------------------------------


async def test_drop_oldest_drops_and_counts_behind_an_asynchronous_codec() -> None:
    gated = Gated()
    dropped: list[int] = []

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        for number in range(1000):
            session.send_nowait(f"{number:0100}")
            if number % 100 == 0:
                await turn()
        dropped.append(session.stats.dropped_out)
        gated.may_encode.set()
        await session.close()

    app = app_of(handler, gated, outgoing_overflow="drop-oldest", outgoing_bytes=10_000)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[Gated]) as session,
    ):
        numbers = [int(message) for message in await messages_of(session)]
        assert session.close_info.code == 1000
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 999
    assert 50 <= len(numbers) <= 110  # 10,000 bytes, and what the codec had already
    assert dropped == [1000 - len(numbers)]


async def test_close_closes_behind_an_asynchronous_codec() -> None:
    gated = Gated()
    sent: list[int] = []

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        for number in range(1000):
            session.send_nowait(f"{number:0100}")
            sent.append(number)

    app = app_of(handler, gated, outgoing_overflow="close", outgoing_bytes=10_000)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=GATED)
        found = await frames_until_the_end(peer)
    assert found[-1][1][:2] == (1013).to_bytes(2, "big")
    assert 90 <= len(sent) <= 110


async def test_suspend_refuses_by_bytes_behind_an_asynchronous_codec() -> None:
    gated = Gated()
    sent: list[int] = []

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        with suppress(QueueFull):
            for number in range(1000):
                session.send_nowait(f"{number:0100}")
                sent.append(number)
        gated.may_encode.set()
        await session.close()

    app = app_of(handler, gated, outgoing_bytes=10_000)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[Gated]) as session,
    ):
        numbers = [int(message) for message in await messages_of(session)]
    assert numbers == sent
    assert 90 <= len(sent) <= 110


async def test_small_messages_in_any_number_may_wait_for_an_asynchronous_codec() -> None:
    async def handler(session: Session) -> None:
        for number in range(300):
            session.send_nowait(str(number))
        await session.close()

    app = app_of(handler, Gated)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[Gated]) as session,
    ):
        assert await messages_of(session) == [str(number) for number in range(300)]


async def test_send_and_send_nowait_keep_their_order_behind_an_asynchronous_codec() -> None:
    async def handler(session: Session) -> None:
        for number in range(0, 30, 3):
            session.send_nowait(str(number))
            await session.send(str(number + 1))
            session.send_nowait(wsext.PreparedMessage(str(number + 2)))
        await session.close()

    app = app_of(handler, Gated)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[Gated]) as session,
    ):
        assert await messages_of(session) == [str(number) for number in range(30)]


# --- codecs that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["send", "send_nowait"])
async def test_the_peer_of_a_codec_that_fails_gets_its_close_frame_at_once(way: str) -> None:
    outcome: list[BaseException] = []
    release = asyncio.Event()

    async def handler(session: Session) -> None:
        try:
            if way == "send":
                await session.send("hello")
            else:
                session.send_nowait("hello")
        except wsext.ProtocolError as error:
            outcome.append(error)
        await release.wait()

    app = app_of(handler, Broken)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more="Sec-WebSocket-Extensions: x-broken\r\n")
        try:
            async with asyncio.timeout(SOON):
                assert await peer.close_code() == 1011
        finally:
            release.set()
    assert len(outcome) == 1


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TimeoutError, asyncio.CancelledError])
@pytest.mark.parametrize("way", ["send", "send_nowait", "stream"])
async def test_an_asynchronous_codec_that_fails_ends_with_1011(
    way: str, error: type[BaseException]
) -> None:
    release = asyncio.Event()

    async def handler(session: Session) -> None:
        with suppress(wsext.ProtocolError, ConnectionClosed):
            if way == "send":
                await session.send("hello")
            elif way == "send_nowait":
                session.send_nowait("hello")
            else:
                await session.send(two_parts())
        await release.wait()

    broken = AsyncBroken()
    broken.error = error
    async with wsext.serve(app_of(handler, broken)) as server, raw_peer(server.port) as peer:
        await peer.shake(more="Sec-WebSocket-Extensions: x-async-broken\r\n")
        async with asyncio.timeout(SOON):
            found = await frames_until_the_end(peer)
        release.set()
    assert found == [(8, (1011).to_bytes(2, "big") + b"extension failed")]


async def test_who_sends_to_a_lost_connection_lets_the_loop_tell_so() -> None:
    """Without waiting for anything else: a loop of sends must not keep the event loop from it."""
    sent: list[int] = []

    async def handler(session: Session) -> None:
        await session.receive()  # it came with the reset, or there is none any more
        with suppress(ConnectionClosed):
            for number in range(2000):
                await session.send(bytes(100_000))
                sent.append(number)

    async with wsext.serve(app_of(handler)) as server:
        async with raw_peer(server.port) as peer:
            await peer.shake()
            (session,) = server.sessions
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.send(masked(1, b"go"))
        await session.wait_closed()
        await sessions_gone(server)
    assert len(sent) < 200


async def test_who_sends_without_ever_waiting_lets_others_have_their_turn() -> None:
    """The operating system takes everything at once, so nothing else makes the handler wait."""
    is_over = asyncio.Event()
    sent = []

    async def handler(session: Session) -> None:
        asyncio.get_running_loop().call_soon(is_over.set)
        while not is_over.is_set() and len(sent) < 2000:
            await session.send(b"x" * 300)
            sent.append(1)

    async with wsext.serve(app_of(handler)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        *messages, close = await frames_until_the_end(peer)
    assert close[0] == 8
    assert len(messages) == len(sent) < 2000


async def test_many_who_send_without_ever_waiting_share_a_turn() -> None:
    begin = asyncio.Event()
    sent = 0

    async def handler(session: Session) -> None:
        nonlocal sent
        await begin.wait()
        while True:
            await session.send(bytes(65536))
            sent += 65536

    passes = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(wsext.serve(app_of(handler)))
        for _ in range(32):
            peer = await stack.enter_async_context(raw_peer(server.port))
            await peer.shake()
        begin.set()
        for _ in range(10):
            before = sent
            await turn()
            passes.append(sent - before)
    assert sum(passes)
    assert max(passes[3:]) <= 1 << 22, passes
