"""The one way out: what is sent arrives whole, in order and before the Close frame, or its sender
and the peer are told; slow codecs and slow peers change nothing about it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

import wsext
from tests.codecs import AsyncBroken, Broken, Gated, History, Hung
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of, frames_until_the_end, messages_of, turn
from tests.waiting import sessions_gone, until
from wsext import ConnectionClosed, QueueFull, Session

GATED = "Sec-WebSocket-Extensions: x-gated\r\n"

#: What a failed connection may be closed with, when a message could not be finished.
STATED = {1002, 1007, 1009, 1011}


# --- after a stream -------------------------------------------------------------------------------


async def two_parts() -> AsyncIterator[str]:
    yield "one "
    yield "two"


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


# --- asynchronous codecs and the end --------------------------------------------------------------


@pytest.mark.parametrize("end", ["the session closes", "the peer breaks the protocol"])
async def test_no_data_follows_the_close_frame_when_a_codec_is_slow(end: str) -> None:
    gated = Gated()
    outcome: list[Any] = []

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        sending = asyncio.create_task(session.send("slow"))
        await gated.encoding.wait()
        if end == "the session closes":
            session.close_nowait(4000, "bye")
        await until(lambda: not session.is_open)
        gated.may_encode.set()
        outcome.extend(await asyncio.gather(sending, return_exceptions=True))

    app = app_of(handler, gated)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=GATED)
        async with asyncio.timeout(SOON):
            await gated.encoding.wait()
        if end == "the peer breaks the protocol":
            peer.send(masked(3, b"there is no such opcode"))
        found = await frames_until_the_end(peer)
    assert found[-1][0] == 8
    assert [opcode for opcode, _ in found].count(8) == 1
    # Sent before the Close frame or not at all, and who has sent it knows.
    assert isinstance(outcome[0], ConnectionClosed) == (len(found) == 1), (outcome, found)


async def test_no_data_follows_the_answer_to_the_peer_s_close_when_a_codec_is_slow() -> None:
    gated = Gated()

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        sending = asyncio.create_task(session.send("slow"))
        await gated.encoding.wait()
        await session.wait_closed()
        await asyncio.wait([sending])

    app = app_of(handler, gated, close_timeout=2)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=GATED)
        async with asyncio.timeout(SOON):
            await gated.encoding.wait()
        peer.send(masked(8, b"\x03\xe8"))
        async with asyncio.timeout(SOON):
            await until(lambda: not any(session.is_open for session in server.sessions))
        gated.may_encode.set()
        found = await frames_until_the_end(peer)
    assert [opcode for opcode, _ in found] in ([8], [1, 8])


@pytest.mark.parametrize("stack", ["history", "permessage-deflate"])
async def test_a_cancelled_send_makes_no_later_message_wrong(stack: str) -> None:
    """The cancelled message may arrive or not; the others arrive right, or the connection fails."""
    stateful: list[Any] = [History if stack == "history" else "permessage-deflate"]
    noise = random.Random(1)
    first, cancelled, *later = (noise.randbytes(2000) for _ in range(5))
    later = [cancelled[:1500] + later[0], *later]  # as the cancelled one: a compressor's delight
    gated = Gated()

    async def handler(session: Session) -> None:
        await session.send(first)
        gated.may_encode.clear()
        gated.encoding.clear()
        sending = asyncio.create_task(session.send(cancelled))
        await gated.encoding.wait()
        sending.cancel()
        await turn()
        gated.may_encode.set()
        await asyncio.wait([sending])
        for message in later:
            await session.send(message)

    app = app_of(handler, *stateful, gated)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[*stateful, Gated]) as session,
    ):
        assert [item.name for item in session.extensions][1:] == ["x-gated"]
        found = await messages_of(session)
        info = await session.wait_closed()
    sent = [first, cancelled, *later]
    wrong = [number for number, message in enumerate(found) if message not in sent]
    assert not wrong, f"messages {wrong} of {len(found)} came wrong, without an error"
    assert [sent.index(message) for message in found] == sorted(map(sent.index, found))
    if info.code == 1000:
        assert [message for message in found if message != cancelled] == [first, *later]
    else:
        assert info.code in STATED


@pytest.mark.parametrize("data", [lambda: "cancelled", two_parts], ids=["whole", "stream"])
async def test_what_is_cancelled_while_another_is_encoded_sends_nothing(
    data: Callable[[], Any],
) -> None:
    """It has not come to any codec yet, so nothing is lost with it."""
    gated = Gated()

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        ahead = asyncio.create_task(session.send("ahead"))
        await gated.encoding.wait()
        waiting = asyncio.create_task(session.send(data()))
        await turn()
        waiting.cancel()
        await asyncio.wait([waiting])
        gated.may_encode.set()
        await ahead
        await session.send("after")

    app = app_of(handler, History, gated)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=[History, Gated]) as session,
    ):
        assert await messages_of(session) == ["ahead", "after"]


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


@pytest.mark.parametrize("end", ["the peer leaves", "the session closes"])
async def test_a_session_ends_while_a_codec_hangs(end: str) -> None:
    hung = Hung()
    outcome: list[BaseException] = []

    async def handler(session: Session) -> None:
        try:
            await session.send("hello")
        except ConnectionClosed as error:
            outcome.append(error)

    app = app_of(handler, hung)
    async with wsext.serve(app) as server:
        async with raw_peer(server.port) as peer, asyncio.timeout(SOON):
            await peer.shake(more="Sec-WebSocket-Extensions: x-hung\r\n")
            await hung.encoding.wait()
            (session,) = server.sessions
            if end == "the session closes":
                await session.close()
        async with asyncio.timeout(SOON):
            await hung.cancelled.wait()
            await sessions_gone(server)
        hung.may_end.set()
    assert len(outcome) == 1


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
