"""Speaking to everybody in a room: through the room, and through a membership."""

from __future__ import annotations

import pytest

from tests.rooms.test_room import Place


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
