"""A value for many sessions: each gets it in its own format, encoded once for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import wsext
from tests.codecs import Counting
from wsext import App, PreparedValue, Session, SharedContext
from wsext.testing import ClientSession, connect


@dataclass
class Tick:
    symbol: str
    price: float


TICK = Tick("WSX", 17.5)
PLAIN = {"symbol": "WSX", "price": 17.5}


@asynccontextmanager
async def hall(*formats: Any) -> AsyncIterator[tuple[list[Session], list[ClientSession], Counting]]:
    """Sessions that take these formats, their clients, and what counts encodings."""
    app, counting = App(), Counting()
    app.install(counting)
    ready: asyncio.Queue[Session] = asyncio.Queue()

    @app.websocket("/")
    async def wait(session: Session) -> None:
        ready.put_nowait(session)
        await session.wait_closed()

    async with AsyncExitStack() as stack:
        sessions, clients = [], []
        for format in formats:
            opening = connect(app, extensions=[Counting])
            clients.append(await stack.enter_async_context(opening))
            sessions.append(await ready.get())
            sessions[-1].format = format
        yield sessions, clients, counting


async def test_each_session_gets_its_own_format_encoded_once_for_each() -> None:
    async with hall("json", "msgpack", "json", "msgpack") as (sessions, clients, counting):
        assert wsext.broadcast(sessions, PreparedValue(TICK)) == {}
        for session, client in zip(sessions, clients, strict=True):
            if session.format == "json":
                assert await client.receive() == '{"symbol":"WSX","price":17.5}'
            else:
                assert await client.receive_msgpack() == PLAIN
        assert counting.encoded == 2


async def test_json_is_the_default_and_what_is_no_value_is_the_same_for_all() -> None:
    async with hall("msgpack", "json") as (sessions, clients, _):
        wsext.broadcast(sessions, "text")
        assert [await client.receive() for client in clients] == ["text", "text"]
        wsext.broadcast_json(sessions, TICK)
        assert [await client.receive() for client in clients] == [
            '{"symbol":"WSX","price":17.5}'
        ] * 2
        wsext.broadcast_json(sessions, TICK, text=False)
        assert [await client.receive() for client in clients] == [
            b'{"symbol":"WSX","price":17.5}'
        ] * 2


async def test_hints_metadata_and_a_context_belong_to_both_forms() -> None:
    value = PreparedValue(TICK, hints={"compress": False}, meta={"a": 1})
    for message in (value.json, value.msgpack):
        assert (message.hints, message.meta) == ({"compress": False}, {"a": 1})
    assert value.form("json") is value.json
    assert value.form("msgpack") is value.msgpack
    async with hall("json", "msgpack") as (sessions, clients, _):
        context = SharedContext()
        for _ in range(3):
            assert wsext.broadcast(sessions, PreparedValue(TICK), context=context) == {}
        assert [await clients[0].receive_json() for _ in range(3)] == [PLAIN] * 3
        assert [await clients[1].receive_msgpack() for _ in range(3)] == [PLAIN] * 3


def test_what_cannot_be_encoded_is_refused_before_anybody_gets_it() -> None:
    for value in (object(), {"big": 1 << 70}):  # MessagePack has no such number
        with pytest.raises((TypeError, OverflowError)):
            PreparedValue(value)
