"""What rooms may cost: bounds that hold whatever peers do, and errors without a traceback."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from tests.extensions import codec_of
from tests.rooms.test_room import KIB, Place, everything
from tests.waiting import until
from wsext import (
    RSV,
    App,
    Codec,
    ConnectionClosed,
    Frame,
    Listener,
    RoomError,
    RoomOptions,
    Session,
)
from wsext.rooms.backplanes.memory import MemoryBackplane
from wsext.testing import World, calm, connect, simulate


async def test_a_session_is_in_so_many_rooms() -> None:
    app = App(rooms=RoomOptions(max_rooms_per_session=3))
    ended = asyncio.Event()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        first = app.room("0").join_nowait(session)
        for number in (1, 2):
            app.room(str(number)).join_nowait(session)
        first.leave()
        app.room("3").join_nowait(session)
        try:
            async with app.room("4").join(session):
                raise AssertionError
        finally:
            ended.set()

    async with connect(app) as session:
        assert (await session.wait_closed()).remote == (1008, "in too many rooms")
    await ended.wait()
    await until(lambda: not app.hub.rooms)


async def test_who_joins_when_many_have_just_left_is_not_refused() -> None:
    app = App(rooms=RoomOptions(max_rooms_per_session=1000))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        rooms = [app.room(str(number)) for number in range(700)]
        for members in [room.join_nowait(session) for room in rooms]:
            members.leave()
        async with app.room("next").join(session):
            await session.send("in")

    async with connect(app) as session:
        assert await session.receive() == "in"


async def test_a_refused_membership_leaves_no_room_open() -> None:
    app = App(rooms=RoomOptions(max_rooms_per_session=1))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        app.room("first").join_nowait(session)
        for number in range(100):
            with pytest.raises(RoomError):
                app.room(f"more{number}").join_nowait(session)
        assert [room.is_open for room in (app.room("first"), app.room("more1"))] == [True, False]
        await session.send("done")

    async with connect(app) as session:
        assert await session.receive() == "done"


@pytest.mark.parametrize(
    "name", ["x" * 256, "%C3%BC" * 128, "%F0%9F%A6%8A" * 64, "x" * 5000], ids=range(4)
)
async def test_a_name_that_is_too_long_closes_with_1008_and_without_a_traceback(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place()
    with caplog.at_level(logging.INFO, "wsext"):
        async with connect(place.app, f"/{name}") as session:
            info = await session.wait_closed()
    assert info.remote == (1008, "a room's name has 1 to 255 bytes")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "name", ["%00", "%0a%1b%5b31m", "%ff%fe", "%ed%a0%80", "%E2%80%AE", "*.%3E", "a" * 255]
)
async def test_a_name_may_have_any_characters(name: str, caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    with caplog.at_level(logging.DEBUG, "wsext"):
        async with place.client(f"/{name}") as (session, members):
            await members.broadcast("hello")
            assert await session.receive() == "hello"
            place.app.hub.receive(members.room.name, b"\xc1")
    assert not [record for record in caplog.records if record.exc_info]
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_name_that_utf_8_cannot_encode_is_refused() -> None:
    with pytest.raises(RoomError, match="UTF-8"):
        App().room("\ud800")


async def test_members_tell_little_about_themselves() -> None:
    place = Place()
    async with place.client() as (_, members):
        session = members.session
        with pytest.raises(RoomError, match="too much is told"):
            place.app.room("a").join_nowait(session, info={"text": "x" * 5000})
        nested: dict[str, object] = {}
        for _ in range(100_000):
            nested = {"in": nested}
        for info in ({"text": "\ud800"}, nested):
            with pytest.raises(RoomError, match="cannot be encoded"):
                place.app.room("a").join_nowait(session, info=info)
        session.name = "n" * 5000
        with pytest.raises(RoomError, match="too much is told"):
            place.app.room("a").join(session)


@pytest.mark.parametrize(
    ("names", "history", "problem"),
    [
        (["x" * 256], 0, "1 to 255 bytes"),
        (["tea"], 101, "101 messages of history"),
        (["tea"], -1, "-1 messages of history"),
        (["tea", "tea"], 0, "is in room 'tea' already"),
    ],
)
async def test_what_a_peer_asks_for_in_vain_is_one_line_and_1008(
    names: list[str], history: int, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async with AsyncExitStack() as joined:
            async for name in session:
                joining = app.room(str(name)).join(session, history=history)
                await joined.enter_async_context(joining)

    with caplog.at_level(logging.INFO, "wsext"):
        async with connect(app, "/") as session:
            for name in names:
                await session.send(name)
            assert (await session.wait_closed()).code == 1008
    (line,) = [record for record in caplog.records if record.name != "wsext.access"]
    assert "RoomError" in line.getMessage()
    assert problem in line.getMessage()
    assert line.exc_info is None


async def test_a_member_whose_codec_fails_at_the_history_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Codec):
        def encode(self, frame: Frame) -> Frame:
            raise RuntimeError("broken")

    extension = codec_of(Broken, bits=RSV.RSV1)
    place = Place(history=10)
    place.app.install(extension)
    with caplog.at_level(logging.CRITICAL, "wsext"):
        async with place.client() as (_, members):
            await members.broadcast("hello")
            async with connect(place.app, "/tea", extensions=[extension]) as broken:
                assert (await broken.wait_closed()).code == 1011
            await until(lambda: len(members) == 1)


async def test_rooms_together_have_a_bound_for_a_session_that_does_not_read() -> None:
    place = Place(overflow="drop-oldest")
    place.app.room_options = RoomOptions(session_queue_bytes=64 * 1024, queue_bytes=16 * 1024)
    async with place.slow() as (slow, members):
        others = [place.app.room(f"{n}").join_nowait(members.session) for n in range(20)]
        for member in others:
            for _ in range(10):
                member.broadcast_nowait(KIB)
            assert sum(each.waiting_bytes for each in [members, *others]) <= 64 * 1024
        with pytest.raises(ConnectionClosed) as caught:
            await everything(slow)
        assert caught.value.info.remote == (1013, "reads too slowly")


async def test_history_of_all_rooms_is_bounded_and_the_quietest_loses_first() -> None:
    app = App(rooms=RoomOptions(history_total_bytes=64 * 1024))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        rooms = [app.room(f"{number}") for number in range(20)]
        for room in rooms:
            room.join_nowait(session, overflow="drop-oldest")
            for _ in range(10):
                await room.broadcast(KIB)
            assert app.hub.kept.size <= 64 * 1024
        assert [len(app.hub.kept.last(room.name, 100)) for room in rooms[::19]] == [0, 10]
        await session.close()

    async with connect(app) as session:
        assert (await session.wait_closed()).code == 1000
    assert app.hub.kept.size == 0


async def test_nothing_is_kept_where_there_is_no_history() -> None:
    app = App(rooms=RoomOptions(history=0))
    for number in range(100):
        await app.room(f"{number}").broadcast(KIB)
    await app.hub.start()
    await app.room("after").broadcast(KIB)
    assert (app.hub.status.kept_bytes, app.hub.kept.size) == (0, 0)
    await app.hub.let_go(None)


async def test_rooms_that_everybody_has_left_keep_little() -> None:
    app = App()
    await app.hub.start()
    for number in range(1000):
        await app.room(f"large{number}").broadcast(bytes(1 << 20))
        await app.room(f"small{number}").broadcast(bytes(1 << 17))
    assert app.hub.status.kept_bytes <= 1 << 24
    assert app.hub.status.kept_bytes > 1 << 23
    await app.hub.let_go(None)


def test_members_that_come_and_go_while_the_broker_stalls_pile_up_no_work() -> None:
    class Stalled(MemoryBackplane):
        """Takes for ever to hear of members."""

        is_prompt = False

        async def enter(self, room: str, member: str, info: bytes) -> None:
            await asyncio.get_running_loop().create_future()

    async def scenario(world: World) -> None:
        app = App(backplane=Stalled())
        refused: list[RoomError] = []

        @app.websocket("/")
        class Loop(Listener):
            def on_message(self, session: Session, message: str | bytes) -> None:
                try:
                    app.room("tea").join_nowait(session).leave()
                except RoomError as error:
                    refused.append(error)

        server = await world.serve(app)
        async with world.connect(server, "/") as session:
            for _ in range(5000):
                await session.send("in and out")
            await until(lambda: bool(refused))
            assert len(asyncio.all_tasks()) < 1500
            assert refused[0].code == 1013

    simulate(scenario, weather=calm)
