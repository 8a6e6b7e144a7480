"""A prepared message: encoded once for many sessions, and the same message to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import wsext
from tests.extensions import Append, Slow
from wsext import (
    RSV,
    App,
    Codec,
    ConnectionClosed,
    Extension,
    Frame,
    Interceptor,
    MessageCodec,
    PreparedMessage,
    Session,
    hookimpl,
)
from wsext.protocol.connection import Connection
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage


class _Counter(MessageCodec):
    """Says which codec encoded, and counts what is asked of it."""

    made: list[_Counter]

    def __init__(self, key: Hashable) -> None:
        super().__init__()
        self.key = key
        self.encoded = self.shared = self.skipped = 0

    @property
    def share_key(self) -> Hashable | None:
        return self.key

    def wants(self, frame: Frame, hints: Any) -> bool:
        return bool(hints.get("count", True))

    def encode(self, frame: Frame) -> Any:
        self.encoded += not frame.is_control
        return super().encode(frame)

    def encode_message(self, data: bytes) -> bytes:
        return data + b"!"

    def encode_shared(self, frame: Frame) -> Frame:
        self.shared += 1
        return frame.replace(payload=bytes(frame.payload) + b"!", rsv=frame.rsv | self.rsv)

    def skip_shared(self) -> None:
        self.skipped += 1

    def decode_message(self, data: bytes, budget: int) -> bytes:
        assert data.endswith(b"!")
        return data[:-1]


class Counting(Extension):
    """Negotiates `_Counter`; ``codecs`` are those of the server's sessions."""

    name = "x-counting"
    rsv = RSV.RSV3

    def setup(self) -> None:
        self.codecs: list[_Counter] = []
        self.keys: list[Hashable] = []

    def make_codec(self, params: object, ctx: wsext.NegotiationContext) -> Codec:
        key = self.keys.pop(0) if self.keys and ctx.role == "server" else "one"
        codec = _Counter(key)
        if ctx.role == "server":
            self.codecs.append(codec)
        return codec


class Room:
    """An app that keeps its sessions, and clients of it."""

    def __init__(self, *extensions: Any) -> None:
        self.app = App()
        self.extensions = extensions
        for item in extensions:
            self.app.install(item)
        self.sessions: list[Session] = []
        self.came = asyncio.Semaphore(0)

        @self.app.websocket("/")
        async def stay(session: Session) -> None:
            self.sessions.append(session)
            self.came.release()
            await session.wait_closed()

    @asynccontextmanager
    async def clients(self, count: int) -> AsyncIterator[list[Session]]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(wsext.serve(self.app))
            offers = [type(item) for item in self.extensions if isinstance(item, Extension)]
            clients = []
            for _ in range(count):
                connecting = wsext.connect(server.url, extensions=offers)
                clients.append(await stack.enter_async_context(connecting))
                await self.came.acquire()
            yield clients


async def received(clients: Iterable[Session]) -> list[str | bytes]:
    return [await client.receive() for client in clients]


@pytest.mark.parametrize("data", ["text", b"bytes", "", "x" * 70_000])
async def test_without_extensions_every_session_gets_it(data: str | bytes) -> None:
    room = Room()
    async with room.clients(3) as clients:
        message = PreparedMessage(data)
        await room.sessions[0].send(message)
        for session in room.sessions[1:]:
            session.send_nowait(message)
        assert await received(clients) == [data] * 3
        size = len(data)
        for session in room.sessions:
            stats = session.stats
            assert (stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out) == (
                1,
                size,
                size,
            )


async def test_it_is_encoded_once_per_share_key_and_every_codec_is_told() -> None:
    counting = Counting()
    counting.keys = ["a", "b", "a", "b", "a"]
    room = Room(counting)
    async with room.clients(5) as clients:
        message = PreparedMessage("hello")
        for _ in range(2):
            for session in room.sessions:
                await session.send(message)
        await room.sessions[0].send("its own")
        assert await received(clients) == ["hello"] * 5
        assert await received(clients) == ["hello"] * 5
        assert await clients[0].receive() == "its own"
    assert [codec.shared for codec in counting.codecs] == [1, 1, 0, 0, 0]
    assert [codec.skipped for codec in counting.codecs] == [2] * 5
    assert [codec.encoded for codec in counting.codecs] == [1, 0, 0, 0, 0]
    stats = room.sessions[1].stats
    assert (stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out) == (2, 10, 12)


async def test_a_codec_that_does_not_want_it_is_not_told() -> None:
    counting = Counting()
    room = Room(counting)
    async with room.clients(2) as clients:
        message = PreparedMessage("plain", hints={"count": False})
        for session in room.sessions:
            await session.send(message)
        assert await received(clients) == ["plain"] * 2
    assert [(c.shared, c.skipped, c.encoded) for c in counting.codecs] == [(0, 0, 0)] * 2


class Shout(Interceptor):
    """Sees outgoing frames, so that sharing would go past it."""

    name = "shout"

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> Frame:
        return frame.replace(payload=bytes(frame.payload).upper())


@pytest.mark.parametrize(
    ("installed", "expected"),
    [(Append(), "hello"), (Slow(), "hello"), (Shout(), "HELLO")],
    ids=["no share key", "asynchronous", "interceptor"],
)
async def test_who_cannot_share_sends_it_as_any_other(installed: Any, expected: str) -> None:
    room = Room(installed)
    async with room.clients(2) as clients:
        message = PreparedMessage("hello")
        await room.sessions[0].send(message)
        room.sessions[1].send_nowait(message)
        assert await received(clients) == [expected] * 2
        assert not message.shared


async def test_a_trace_sees_it_and_once_it_is_gone_the_bytes_are_shared_again() -> None:
    room = Room()
    async with room.clients(1) as (client,):
        (session,) = room.sessions
        seen = []
        session.trace(lambda direction, stage, frame: seen.append((direction, stage)))
        message = PreparedMessage("seen")
        await session.send(message)
        session.trace(None)
        await session.send(message)
        assert await received([client, client]) == ["seen"] * 2
    assert seen == [("out", "app"), ("out", "wire")]
    assert len(message.shared) == 1


async def test_a_client_sends_it_masked() -> None:
    app = App()

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for data in session:
            await session.send(data)

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        message = PreparedMessage("hello")
        await session.send(message)
        session.send_nowait(message)
        assert await received([session, session]) == ["hello"] * 2
        assert not message.shared


async def test_it_waits_for_a_streamed_message() -> None:
    room = Room()
    async with room.clients(1) as (client,):
        (session,) = room.sessions
        going = asyncio.Event()

        async def parts() -> AsyncIterator[str]:
            yield "first "
            going.set()
            await asyncio.sleep(0)
            yield "second"

        streaming = asyncio.ensure_future(session.send(parts()))
        await going.wait()
        await session.send(PreparedMessage("after"))
        await streaming
        assert await received([client, client]) == ["first second", "after"]


async def test_an_ended_session_refuses_it() -> None:
    room = Room()
    async with room.clients(1) as (client,):
        (session,) = room.sessions
        await client.close()
        await session.wait_closed()
        for _ in range(2):
            with pytest.raises(ConnectionClosed):
                await session.send(PreparedMessage("late"))
        with pytest.raises(ConnectionClosed):
            session.send_nowait(PreparedMessage("late"))


def test_it_keeps_a_few_encodings_however_many_peers_agree_to_different_ones() -> None:
    message = PreparedMessage(bytes(1000))
    expected = {}
    for key in range(100):
        pipeline = Pipeline([Stage("x-counter", _Counter(key), RSV.NONE)])
        wire = Connection("server", pipeline).share_message(message)
        assert wire is not None
        expected[key] = wire
        assert 1000 <= message.held_bytes <= 10 * len(wire)
    again = Pipeline([Stage("x-counter", _Counter(99), RSV.NONE)])
    assert Connection("server", again).share_message(message) == expected[99]


def test_it_keeps_what_it_was_given() -> None:
    buffer = bytearray(b"before")
    message = PreparedMessage(buffer, hints={"compress": False})
    buffer[:] = b"after!"
    assert message.data == b"before"
    assert repr(message) == "<PreparedMessage binary 6 bytes>"
    with pytest.raises(TypeError, match="str or bytes-like, not int"):
        PreparedMessage(5)  # type: ignore[arg-type]
