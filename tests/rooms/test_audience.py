"""Speaking to everybody in a room: through the room, and through a membership."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from tests import brokers
from tests.rooms.test_room import Place
from wsext import App, PreparedValue, Publisher, RoomMessage, RoomOptions, Session
from wsext.testing import ClientSession, connect


async def test_a_room_can_be_told_by_who_is_not_in_it() -> None:
    place = Place()
    await place.app.room("tea").broadcast("to nobody, but kept")
    async with place.client() as (session, _):
        await place.app.room("tea").broadcast("news")
        assert await session.receive() == "news"


async def test_what_cannot_be_told_to_others_is_refused() -> None:
    place = Place()
    async with place.client() as (_, members):
        with pytest.raises(TypeError):
            await members.broadcast("x", meta={"why": object()})
        with pytest.raises(TypeError):
            await members.broadcast(5)
        assert members.room.counters.messages == 0


async def test_sessions_members_and_ids_may_be_left_out() -> None:
    place = Place()
    async with place.client() as (one, members), place.client() as (two, _other):
        for exclude in (members.session, members.me, members.me.id, [members.me]):
            await place.app.room("tea").broadcast("for two", exclude=exclude)
        await members.broadcast("for both", exclude="nobody")
        assert await one.receive() == "for both"
        assert [await two.receive() for _ in range(5)] == ["for two"] * 4 + ["for both"]
        assert await place.app.room("tea").presence() == await members.presence()


class Said(Struct, tag="said"):
    text: str


def mixed(**options: Any) -> App:
    """An app whose members take what the path says."""
    app = App(**options)
    app.install("permessage-deflate")

    @app.websocket("/<format>")
    async def join(session: Session, format: Any) -> None:
        session.format = format
        async with app.room("tea").join(session, history=app.room_options.history) as members:
            assert members.format == format
            await session.send("joined")
            await session.wait_closed()

    return app


@asynccontextmanager
async def member(app: App, format: str) -> AsyncIterator[tuple[ClientSession, list[str | bytes]]]:
    """A client, and what it has got before it had joined."""
    async with connect(app, f"/{format}", extensions=["permessage-deflate"]) as client:
        before = []
        while (message := await client.receive()) != "joined":
            before.append(message)
        yield client, before


NO_HISTORY = RoomOptions(history=0)


async def test_everybody_gets_json_when_json_is_broadcast() -> None:
    app = mixed(rooms=NO_HISTORY)
    async with member(app, "json") as (one, _), member(app, "msgpack") as (two, _):
        room = app.room("tea")
        await room.broadcast_json(Said("hi"))
        await room.broadcast_json([1, None], text=False, exclude="nobody")
        for client in (one, two):
            assert await client.receive() == '{"type":"said","text":"hi"}'
            assert await client.receive() == b"[1,null]"
        with pytest.raises(TypeError):
            await room.broadcast_json(object())


async def test_each_member_gets_a_value_in_its_own_format() -> None:
    app = mixed(rooms=NO_HISTORY)
    async with (
        member(app, "json") as (json, _),
        member(app, "msgpack") as (msgpack, _),
        member(app, "json") as (other, _),
    ):
        room = app.room("tea")
        for number in range(40):
            await room.broadcast(PreparedValue(Said(f"order {number}")))
            room.broadcast_nowait(f"the plain order {number}")
        for number in range(40):
            for client in (json, other):
                assert await client.receive_json(Said) == Said(f"order {number}")
            assert await msgpack.receive_msgpack(Said) == Said(f"order {number}")
            for client in (json, msgpack, other):
                assert await client.receive() == f"the plain order {number}"
        assert room.counters.delivered == 2 * 3 * 40
        for client in (json, msgpack):  # each kind has a memory of what it was told
            assert client.stats.wire_bytes_in < 0.7 * client.stats.app_bytes_in


@pytest.mark.parametrize("recovery", [False, True])
async def test_the_history_is_in_each_members_format_too(recovery: bool) -> None:
    app = mixed(rooms=RoomOptions(history=10, recovery=recovery))
    async with member(app, "json") as (first, _):
        await app.room("tea").broadcast(PreparedValue(Said("hi")))
        assert await first.receive_json(Said) == Said("hi")
        for format, module in (("json", msgspec.json), ("msgpack", msgspec.msgpack)):
            async with member(app, format) as (_, (message,)):
                assert type(message) is (str if format == "json" else bytes)
                assert module.decode(message, type=Said) == Said("hi")


async def test_a_stamp_gets_both_forms_of_a_value() -> None:
    def stamp(message: RoomMessage) -> PreparedValue:
        assert message.data == '{"type":"said","text":"hi"}'
        assert message.packed is not None
        said = msgspec.msgpack.decode(message.packed)
        return PreparedValue({"at": message.position.number if message.position else 0, **said})

    app = mixed(rooms=RoomOptions(history=0, recovery=True, stamp=stamp))
    async with member(app, "json") as (json, _), member(app, "msgpack") as (msgpack, _):
        await app.room("tea").broadcast(PreparedValue(Said("hi")))
        stamped = {"at": 1, "type": "said", "text": "hi"}
        assert await json.receive_json() == await msgpack.receive_msgpack() == stamped


async def test_values_travel_between_processes_and_from_outside(tmp_path: Path) -> None:
    with brokers.running("redis", tmp_path) as broker:
        one, two = (mixed(backplane=broker.url, rooms=NO_HISTORY) for _ in range(2))
        async with (
            member(one, "json") as (json, _),
            member(two, "msgpack") as (msgpack, _),
            Publisher(broker.url) as publisher,
        ):
            await one.room("tea").broadcast(PreparedValue(Said("from one")))
            assert await msgpack.receive_msgpack(Said) == Said("from one")
            await publisher.publish("tea", PreparedValue(Said("from outside")))
            for text in ("from one", "from outside"):
                assert await json.receive_json(Said) == Said(text)
            assert await msgpack.receive_msgpack(Said) == Said("from outside")
