"""`wsext.broadcast`: one message for many sessions, and what is slow or closing stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import wsext
from tests.codecs import Counting, Gated
from tests.raw import RawPeer, masked, raw_peer
from wsext import (
    App,
    Codec,
    ConnectionClosed,
    Extension,
    Frame,
    NegotiationContext,
    Params,
    ProtocolError,
    QueueFull,
    Session,
    WebSocketOptions,
)

#: Seconds in which something has to happen that takes no time at all.
SOON = 3


class Hall:
    """An app whose sessions only wait, and peers that have connected to it."""

    def __init__(self, *extensions: Any, **options: Any) -> None:
        self.app = App(options=WebSocketOptions(**{"close_timeout": 60, **options}))
        self.ready: asyncio.Queue[Session] = asyncio.Queue()
        for extension in extensions:
            self.app.install(extension)

        @self.app.websocket("/")
        async def handler(session: Session) -> None:
            self.ready.put_nowait(session)
            await session.wait_closed()

    @asynccontextmanager
    async def of(self, count: int, offer: str = "") -> AsyncIterator[list[tuple[Session, RawPeer]]]:
        """So many sessions, each with the raw peer at its other end."""
        more = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(wsext.serve(self.app))
            both = []
            for _ in range(count):
                peer = await stack.enter_async_context(raw_peer(server.port))
                await peer.shake(more=more)
                both.append((await self.ready.get(), peer))
            try:
                yield both
            finally:
                server.abort()


async def next_frame(peer: RawPeer) -> tuple[int, bytes]:
    async with asyncio.timeout(SOON):
        frame = await peer.frame()
    assert frame is not None, "the connection has ended"
    return frame.opcode, bytes(frame.payload)


@pytest.mark.parametrize("data", ["text", b"\x00\xff", bytearray(b"like bytes")], ids=repr)
async def test_everybody_gets_it(data: Any) -> None:
    expected = (1, data.encode()) if isinstance(data, str) else (2, bytes(data))
    async with Hall().of(3) as both:
        assert wsext.broadcast((session for session, _ in both), data) == {}
        for _, peer in both:
            assert await next_frame(peer) == expected


async def test_no_sessions_are_fine() -> None:
    assert wsext.broadcast([], "nobody hears it") == {}


async def test_it_is_encoded_once_for_all_who_can_share() -> None:
    counting = Counting()
    async with Hall(counting).of(5, "x-counting") as both:
        wsext.broadcast([session for session, _ in both], "hello")
        for _, peer in both:
            assert await next_frame(peer) == (1, b"hello")
    assert counting.encoded == 1


async def test_extensions_see_hints_and_metadata() -> None:
    seen: list[Frame] = []

    class Watch:
        @wsext.hookimpl
        def wsext_frame_sending(self, session: Session, frame: Frame) -> None:
            if not frame.is_control:
                seen.append(frame)

    hall = Hall(Watch())
    async with hall.of(2) as both:
        hints, meta = {"compress": False}, {"trace": "abc"}
        wsext.broadcast([session for session, _ in both], "hello", hints=hints, meta=meta)
        for _, peer in both:
            assert await next_frame(peer) == (1, b"hello")
    assert [(frame.hints, frame.meta) for frame in seen] == [(hints, meta)] * 2


@pytest.mark.parametrize("data", [5, None, ["a"]], ids=repr)
async def test_what_is_no_message_is_a_type_error_and_nobody_gets_it(data: Any) -> None:
    async with Hall().of(2) as both:
        sessions = [session for session, _ in both]
        with pytest.raises(TypeError):
            wsext.broadcast(sessions, data)
        wsext.broadcast(sessions, "the first")
        for _, peer in both:
            assert await next_frame(peer) == (1, b"the first")


# --- who does not get it --------------------------------------------------------------------------


async def test_who_is_closing_is_left_out_and_named() -> None:
    async with Hall().of(3) as both:
        (closing, _), *others = both
        closing.close_nowait(4000)
        left_out = wsext.broadcast([session for session, _ in both], "hello")
        assert list(left_out) == [closing]
        assert isinstance(left_out[closing], ConnectionClosed)
        for _, peer in others:
            assert await next_frame(peer) == (1, b"hello")


async def test_who_has_ended_is_left_out_and_named() -> None:
    async with Hall().of(3) as both:
        (gone, peer), *others = both
        peer.send(masked(8, b"\x03\xe8"))
        async with asyncio.timeout(SOON):
            await gone.wait_closed()
        left_out = wsext.broadcast([session for session, _ in both], "hello")
        assert list(left_out) == [gone]
        assert isinstance(left_out[gone], ConnectionClosed)
        for _, peer in others:
            assert await next_frame(peer) == (1, b"hello")


async def after_many(policy: str, both: list[tuple[Session, RawPeer]]) -> dict[Session, Exception]:
    """Say something until the policy of the first session, which reads nothing, has to decide."""
    sessions = [session for session, _ in both]
    left_out: dict[Session, Exception] = {}
    for _ in range(1000):
        found = wsext.broadcast(sessions, bytes(20_000))
        left_out.update(found)
        for _, peer in both[1:]:
            assert await next_frame(peer) == (2, bytes(20_000))
        if found or sessions[0].stats.dropped_out:
            break
    return left_out


@pytest.mark.parametrize("policy", ["suspend", "close", "drop-oldest"])
async def test_who_is_slow_is_treated_by_its_policy_and_the_others_get_it(policy: str) -> None:
    hall = Hall(outgoing_bytes=32 * 1024, outgoing_overflow=policy, write_timeout=None)
    async with hall.of(3) as both:
        slow = both[0][0]
        left_out = await after_many(policy, both)
        if policy == "suspend":
            assert isinstance(left_out[slow], QueueFull)
            assert slow.is_open
        elif policy == "close":
            assert isinstance(left_out[slow], ProtocolError | ConnectionClosed)
            assert slow.close_info.local == (1013, "peer reads too slowly")
        else:
            assert left_out == {}
            assert slow.stats.dropped_out > 0
            assert slow.is_open
        for session, _ in both[1:]:
            assert session.is_open


async def test_a_handler_that_broadcasts_outlives_its_slow_and_its_closing_peers() -> None:
    """In a loop of `send_nowait`, one slow peer ends the session of who says something."""
    app = App(options=WebSocketOptions(outgoing_bytes=32 * 1024, outgoing_overflow="close"))

    @app.websocket("/listen")
    async def listen(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:

        @app.websocket("/speak")
        async def speak(session: Session) -> None:
            async for message in session:
                wsext.broadcast(server.sessions, message)

        async with (
            raw_peer(server.port) as slow,
            wsext.connect(f"{server.url}/speak") as speaker,
        ):
            await slow.shake("/listen")
            for number in range(300):
                await speaker.send(bytes([number % 256]) * 20_000)
                async with asyncio.timeout(SOON):
                    assert (await speaker.receive())[0] == number % 256
            async with asyncio.timeout(SOON):
                assert await slow.close_code() == 1013


class _Failing(Codec):
    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def encode(self, frame: Frame) -> Frame:
        if self.fails:
            raise RuntimeError("this codec is broken")
        return frame


class FailsOnTheFirst(Extension):
    """Its codec fails on the first connection and no other."""

    name = "x-failing"

    def setup(self) -> None:
        self.made = 0

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        self.made += 1
        return _Failing(self.made == 1)


async def test_a_codec_that_fails_ends_its_own_session_only() -> None:
    async with Hall(FailsOnTheFirst()).of(3, "x-failing") as both:
        (failed, peer), *others = both
        left_out = wsext.broadcast([session for session, _ in both], "hello")
        assert list(left_out) == [failed]
        assert isinstance(left_out[failed], ProtocolError)
        for _, other in others:
            assert await next_frame(other) == (1, b"hello")
        async with asyncio.timeout(SOON):
            assert await peer.close_code() == 1011


async def test_an_asynchronous_codec_gets_it_in_its_turn() -> None:
    gated = Gated()
    async with Hall(gated).of(2, "x-gated") as both:
        gated.may_encode.clear()
        sessions = [session for session, _ in both]
        for number in range(3):
            assert wsext.broadcast(sessions, str(number)) == {}
        gated.may_encode.set()
        for _, peer in both:
            for number in range(3):
                assert await next_frame(peer) == (1, str(number).encode())
