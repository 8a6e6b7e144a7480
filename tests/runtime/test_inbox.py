"""The one way in: reading, decoding and delivering stop at the inbox's bound inside a read, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wsext
from tests.codecs import AsyncCancelled, Cancelled, Counting, Gated, deflated
from tests.raw import RawPeer, masked, raw_peer
from tests.waiting import at_rest, until
from wsext import App, ConnectionClosed, Session, WebSocketOptions

#: Seconds in which something has to happen that takes no time at all.
SOON = 3

CAPACITY = 8

#: What may be beyond the bound: the message that passes it, and the one that is being decoded.
BEYOND = 2

Kind = type[Counting | Gated] | None

KINDS = [
    pytest.param(None, id="no codec"),
    pytest.param(Counting, id="synchronous codec"),
    pytest.param(Gated, id="asynchronous codec"),
]


class Reader:
    """An app whose handler reads nothing until it is told to, and then everything."""

    def __init__(self, *extensions: Any, **options: Any) -> None:
        self.app = App(options=WebSocketOptions(**{"close_timeout": 0.2, **options}))
        self.go = asyncio.Event()
        self.got: list[Any] = []
        self.done = asyncio.Event()
        self.session: Session | None = None
        self.opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        for extension in extensions:
            self.app.install(extension)

        @self.app.websocket("/")
        async def handler(session: Session) -> None:
            self.session = session
            self.opened.set_result(session)
            await self.go.wait()
            try:
                while True:
                    self.got.append(await session.receive())
            except ConnectionClosed:
                self.done.set()

    @asynccontextmanager
    async def peer(self, offer: str | None = None) -> AsyncIterator[RawPeer]:
        """A raw peer that has opened a session."""
        more = "" if offer is None else f"Sec-WebSocket-Extensions: {offer}\r\n"
        async with wsext.serve(self.app) as server, raw_peer(server.port) as peer:
            head = await peer.shake(more=more)
            assert (offer is None) == ("Sec-WebSocket-Extensions" not in head)
            try:
                yield peer
            finally:
                self.go.set()

    @property
    def waiting(self) -> int:
        """How many messages wait for the handler."""
        return self.session.stats.waiting_in if self.session else 0

    async def everything(self, peer: RawPeer) -> list[Any]:
        """All messages, once the handler reads and the peer has closed."""
        self.go.set()
        peer.send(masked(8, b"\x03\xe8"))
        async with asyncio.timeout(SOON):
            await self.done.wait()
        return self.got


@pytest.mark.parametrize("kind", KINDS)
async def test_no_more_messages_are_taken_from_a_read_than_the_inbox_may_hold(kind: Kind) -> None:
    codec = kind and kind()
    reader = Reader(*([codec] if codec else []), incoming_capacity=CAPACITY)
    async with reader.peer(codec and codec.name) as peer:
        numbers = [str(number) for number in range(1000)]
        peer.send(b"".join(masked(1, number.encode()) for number in numbers))
        waiting = await at_rest(lambda: reader.waiting)
        decoded = codec.decoded if codec else waiting
        assert waiting <= CAPACITY + 1
        assert decoded <= CAPACITY + BEYOND
        assert await reader.everything(peer) == numbers


@pytest.mark.parametrize("kind", KINDS)
async def test_no_more_bytes_are_taken_from_a_read_than_the_inbox_may_hold(kind: Kind) -> None:
    codec = kind and kind()
    reader = Reader(*([codec] if codec else []), incoming_bytes=5000)
    async with reader.peer(codec and codec.name) as peer:
        messages = [bytes([number]) * 1000 for number in range(150)]
        peer.send(b"".join(masked(2, message) for message in messages))
        waiting = await at_rest(lambda: reader.waiting)
        decoded = codec.decoded if codec else waiting
        assert waiting <= 5 + 1
        assert decoded <= 5 + BEYOND
        assert await reader.everything(peer) == messages


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_that_the_handler_waits_for_needs_no_room(kind: Kind) -> None:
    """However large it is: the bounds are for what waits."""
    extensions = [] if kind is None else [kind]
    reader = Reader(*extensions, incoming_bytes=1000, incoming_overflow="close")
    reader.go.set()
    async with reader.peer(None if kind is None else kind.name) as peer:
        for number in range(3):
            peer.send(masked(2, bytes(5000)))
            async with asyncio.timeout(SOON):
                await until(lambda number=number: len(reader.got) > number)
        assert await reader.everything(peer) == [bytes(5000)] * 3


async def test_no_more_is_decompressed_than_the_inbox_may_hold() -> None:
    """What has not been decoded costs its compressed size."""
    reader = Reader("permessage-deflate")
    async with reader.peer("permessage-deflate") as peer:
        bomb = masked(2, deflated(bytes(1 << 18)), rsv=0x40)
        peer.send(bomb * 200)
        waiting = await at_rest(lambda: reader.waiting)
        assert waiting <= 4 + 1  # incoming_bytes is 1 MiB
        assert await reader.everything(peer) == [bytes(1 << 18)] * 200


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_left_of_a_read_is_delivered_while_the_peer_sends_nothing_more(
    kind: Kind,
) -> None:
    codec = kind and kind()
    reader = Reader(*([codec] if codec else []), incoming_capacity=CAPACITY)
    async with reader.peer(codec and codec.name) as peer:
        numbers = [str(number) for number in range(300)]
        peer.send(b"".join(masked(1, number.encode()) for number in numbers))
        await at_rest(lambda: reader.waiting)
        reader.go.set()
        async with asyncio.timeout(SOON):
            await until(lambda: len(reader.got) == 300)
    assert reader.got == numbers


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_left_of_a_read_is_answered_in_its_turn(kind: Kind) -> None:
    """A ping behind the bound waits with what is before it; the pong comes once that is read."""
    codec = kind and kind()
    reader = Reader(*([codec] if codec else []), incoming_capacity=CAPACITY)
    async with reader.peer(codec and codec.name) as peer:
        peer.send(masked(1, b"x") * 100 + masked(9, b"are you there?") + masked(1, b"last"))
        await at_rest(lambda: reader.waiting)
        reader.go.set()
        async with asyncio.timeout(SOON):
            frame = await peer.frame()
        assert frame is not None
        assert (frame.opcode, bytes(frame.payload)) == (10, b"are you there?")
        assert len(await reader.everything(peer)) == 101


@pytest.mark.parametrize("policy", ["close", "drop-oldest"])
async def test_the_overflow_policies_hold_behind_an_asynchronous_codec(policy: str) -> None:
    reader = Reader(Gated(), incoming_capacity=CAPACITY, incoming_overflow=policy)
    async with reader.peer("x-gated") as peer:
        numbers = [str(number) for number in range(100)]
        peer.send(b"".join(masked(1, number.encode()) for number in numbers))
        if policy == "close":
            async with asyncio.timeout(SOON):
                assert await peer.close_code() == 1013
            return
        async with asyncio.timeout(SOON):
            session = await reader.opened
            await until(lambda: session.stats.messages_in == 100)
        assert session.stats.dropped_in == 100 - CAPACITY
        assert await reader.everything(peer) == numbers[-CAPACITY:]


@pytest.mark.parametrize("kind", [Cancelled, AsyncCancelled])
async def test_a_decoder_that_is_cancelled_fails_the_connection(kind: Any) -> None:
    reader = Reader(kind)
    async with reader.peer(kind.name) as peer:
        peer.send(masked(1, b"hello") + masked(1, b"are you there?"))
        async with asyncio.timeout(SOON):
            assert await peer.close_code() == 1011
        assert await reader.everything(peer) == []
