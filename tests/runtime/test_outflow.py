"""What leaves a session when codecs are slow: whole, in order, nothing after the Close frame."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

import wsext
from tests.codecs import Gated, History, Hung
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of, frames_until_the_end, messages_of, turn, two_parts
from tests.waiting import sessions_gone, until
from wsext import ConnectionClosed, Session

GATED = "Sec-WebSocket-Extensions: x-gated\r\n"

#: What a failed connection may be closed with, when a message could not be finished.
STATED = {1002, 1007, 1009, 1011}


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
