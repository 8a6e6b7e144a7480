"""Rooms in one process: who hears what, who is there, and what slow members get."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import wsext
from tests.extensions import Append, codec_of
from tests.waiting import until
from wsext import (
    RSV,
    App,
    Codec,
    ConnectionClosed,
    Frame,
    Listener,
    Membership,
    OptionError,
    PreparedMessage,
    Room,
    RoomError,
    RoomOptions,
    Session,
    WebSocketOptions,
)
from wsext.testing import ClientSession, World, calm, connect, simulate

KIB = "x" * 1024


class Place:
    """An app with a route that joins ``/ROOM?name=...``, and clients of it in memory."""

    def __init__(self, **join: Any) -> None:
        self.app = App(
            options=WebSocketOptions(outgoing_bytes=1024),
            rooms=RoomOptions(queue_bytes=8 * 1024, history=10, history_bytes=6 * 1024),
        )
        self.joined: asyncio.Queue[Membership] = asyncio.Queue()

        @self.app.websocket("/<room>")
        async def enter(session: Session, room: str) -> None:
            session.name = session.request.query.get("name", "x")
            async with self.app.room(room).join(session, **join) as members:
                self.joined.put_nowait(members)
                await session.wait_closed()

    @asynccontextmanager
    async def client(
        self, path: str = "/tea", **options: Any
    ) -> AsyncIterator[tuple[ClientSession, Membership]]:
        async with connect(self.app, path, **options) as session:
            yield session, await self.joined.get()

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[tuple[ClientSession, Membership]]:
        """A client that reads nothing until its application does."""
        small = WebSocketOptions(incoming_capacity=1, incoming_bytes=1)
        async with self.client(options=small) as (session, members):
            while not members.waiting_bytes:
                members.send(PreparedMessage("fill " + KIB))
                await asyncio.sleep(0)
            yield session, members


async def everything(session: Session) -> list[str]:
    """What comes until ``end``, without what filled the queues."""
    got = []
    while (message := str(await session.receive())) != "end":
        if not message.startswith("fill"):
            got.append(message)
    return got


async def test_everybody_in_the_room_hears_it_and_nobody_else() -> None:
    place = Place()
    async with (
        place.client("/tea") as (one, members),
        place.client("/tea") as (two, other),
        place.client("/coffee") as (three, elsewhere),
    ):
        assert len(members) == len(place.app.room("tea")) == 2
        assert set(members) == {members.session, other.session}
        assert members.room is other.room is place.app.room("tea")
        await members.broadcast("for tea")
        await members.broadcast(b"bytes", exclude=members.session)
        members.broadcast_nowait("b", exclude=[other.me, "nobody"])
        await elsewhere.broadcast("for coffee")
        assert [await one.receive(), await one.receive()] == ["for tea", "b"]
        assert [await two.receive(), await two.receive()] == ["for tea", b"bytes"]
        assert await three.receive() == "for coffee"
        counters = members.room.counters
        assert (counters.messages, counters.bytes, counters.delivered) == (3, 13, 4)
        assert place.app.hub.counters.messages == 4


async def test_a_broadcast_is_encoded_once() -> None:
    class Loud(Codec):
        encoded = 0
        share_key = "loud"  # type: ignore[assignment]

        def encode(self, frame: Frame) -> Frame:
            Loud.encoded += 1
            return frame.replace(payload=b"!" + bytes(frame.payload), rsv=RSV.RSV1)

        def decode(self, frame: Frame, budget: int) -> Frame:
            return frame.replace(payload=frame.payload[1:], rsv=0)

    extension = codec_of(Loud, bits=RSV.RSV1)
    place = Place()
    place.app.install(extension)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(place.client(extensions=[extension])) for _ in range(5)
        ]
        await clients[0][1].broadcast("once")
        assert [await session.receive() for session, _ in clients] == ["once"] * 5
        assert Loud.encoded == 1


async def test_membership_ends_with_the_block_or_the_session() -> None:
    app = App()
    left, go_on = asyncio.Event(), asyncio.Event()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async with app.room("tea").join(session) as members:
            await session.receive()
        assert len(members) == 0
        left.set()
        await session.receive()
        async with app.room("tea").join(session):
            await go_on.wait()  # and sees nothing of the session's end

    async with connect(app) as session:
        await session.send("leave")
        await left.wait()
        assert app.hub.rooms == []
        await session.send("join again")
        await until(lambda: bool(app.hub.rooms))
        await session.close()
        await until(lambda: not app.hub.rooms)
        go_on.set()


async def test_an_empty_room_is_freed() -> None:
    place = Place()
    async with place.client() as (_, members):
        assert place.app.hub.rooms == [members.room]
        del members
    await until(lambda: not place.app.hub.rooms)
    gc.collect()
    assert [item for item in gc.get_objects() if isinstance(item, Room)] == []


async def test_a_session_is_in_a_room_once() -> None:
    place = Place()
    async with place.client() as (session, members):
        with pytest.raises(RoomError, match="is in room 'tea' already"):
            place.app.room("tea").join_nowait(members.session)
        with pytest.raises(RoomError, match="already"):
            async with place.app.room("tea").join(members.session):
                raise AssertionError
        async with place.app.room("coffee").join(members.session) as second:
            await second.broadcast("from another room")
        await members.broadcast("still here")
        assert await session.receive() == "from another room"
        assert await session.receive() == "still here"


async def test_a_listener_joins_without_waiting() -> None:
    app = App()

    @app.websocket("/")
    class Chat(Listener):
        def on_open(self, session: Session) -> None:
            self.members = app.room("tea").join_nowait(session)

        def on_message(self, session: Session, message: str | bytes) -> None:
            self.members.broadcast_nowait(message, exclude=session)

    async with wsext.serve(app) as server:
        async with wsext.connect(server.url) as one, wsext.connect(server.url) as two:
            await one.send("hello")
            await two.send("hello yourself")
            assert await two.receive() == "hello"
            assert await one.receive() == "hello yourself"
        await until(lambda: not app.hub.rooms)


async def test_history_is_sent_first_and_bounded() -> None:
    place = Place(history=10)
    async with place.client() as (first, members):
        for number in range(30):
            await members.broadcast(str(number))
        assert [await first.receive() for _ in range(30)] == [str(n) for n in range(30)]
        async with place.client() as (second, _):
            await members.broadcast("now")
            assert [await second.receive() for _ in range(11)] == [
                *(str(n) for n in range(20, 30)),
                "now",
            ]
        for number in range(10):
            await members.broadcast(f"{number}" + KIB)
        async with place.client() as (third, _):
            assert [str(await third.receive())[0] for _ in range(5)] == list("56789")
            await members.broadcast("nothing between")
            assert await third.receive() == "nothing between"


async def test_more_history_than_is_kept_is_refused() -> None:
    place = Place()
    async with place.client() as (_, members):
        with pytest.raises(RoomError, match="11 messages of history were asked for, 10 are kept"):
            place.app.room("tea").join(members.session, history=11)
        with pytest.raises(OptionError, match="overflow"):
            place.app.room("tea").join(members.session, overflow="burst")  # type: ignore[arg-type]
    for name in ("", "x" * 256):
        with pytest.raises(ValueError, match="1 to 255 bytes"):
            place.app.room(name)


async def test_presence_tells_who_is_there_and_who_comes_and_goes() -> None:
    place = Place(info={"color": "red"})
    async with place.client("/tea?name=Ada") as (_, ada):
        changes = ada.changes()
        async with place.client("/tea?name=Bob") as (_, bob):
            assert await ada.presence() == [ada.me, bob.me]
            assert (bob.me.name, bob.me.info) == ("Bob", {"color": "red"})
        told = [await anext(changes), await anext(changes)]
        assert [(change.kind, change.member) for change in told] == [
            ("join", bob.me),
            ("leave", bob.me),
        ]
        ada.leave()
        assert [change async for change in changes] == []
        assert await ada.presence() == []


async def test_a_slow_member_is_closed_with_1013_and_slows_nobody() -> None:
    place = Place()
    async with place.slow() as (slow, members), place.client() as (quick, _):
        room = members.room
        for number in range(20):
            await room.broadcast(f"{number} {KIB}")
            assert str(await quick.receive()).startswith(f"{number} ")
            assert members.waiting_bytes <= 8 * 1024
        assert (room.counters.slow_closed, room.counters.dropped) == (1, 0)
        with pytest.raises(ConnectionClosed) as caught:
            await everything(slow)
        assert caught.value.info.remote == (1013, "reads too slowly")


async def test_the_oldest_is_dropped() -> None:
    place = Place(overflow="drop-oldest")
    async with place.slow() as (slow, members):
        for number in range(50):
            await members.broadcast(f"{number} {KIB}")
        await members.broadcast("end")
        got = [int(text.split()[0]) for text in await everything(slow)]
        assert got == list(range(50 - len(got), 50))
        counters = members.room.counters
        assert counters.dropped > 40
        assert counters.slow_closed == 0
        assert not members.waiting_bytes
        await members.broadcast("quick again")
        assert await slow.receive() == "quick again"


async def test_the_newest_of_a_key_replaces_the_one_that_waits() -> None:
    place = Place(overflow="coalesce", queue_bytes=3000)
    async with place.slow() as (slow, members):
        for number in range(100):
            members.broadcast_nowait(f"a{number}", key="a")
            members.broadcast_nowait(f"b{number}", key=2)
            if number == 50:
                members.broadcast_nowait("without a key")
        members.broadcast_nowait("end")
        assert await everything(slow) == ["without a key", "a99", "b99"]
        assert members.room.counters.coalesced == 198
    async with place.slow() as (_, members):
        for number in range(10):
            members.broadcast_nowait(f"{number} {KIB}")
        assert members.room.counters.slow_closed == 1


async def test_a_message_larger_than_the_queue_still_gets_through_alone() -> None:
    place = Place(queue_bytes=100)
    async with place.slow() as (slow, members), asyncio.timeout(10):
        while members.waiting_bytes:
            await slow.receive()
        members.broadcast_nowait("end")
        await everything(slow)
        members.broadcast_nowait("y" * 5000)
        assert await slow.receive() == "y" * 5000


async def test_a_member_that_cannot_share_gets_everything_in_order() -> None:
    place = Place()
    place.app.install(Append)
    async with (
        place.client(extensions=[Append]) as (one, members),
        place.client() as (two, _),
    ):
        for number in range(10):
            members.broadcast_nowait(str(number))
        for session in (one, two):
            assert [await session.receive() for _ in range(10)] == [str(n) for n in range(10)]


@pytest.mark.parametrize("method", ["encode", "skip_shared"])
async def test_a_codec_that_fails_ends_its_own_session_only(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Codec):
        share_key = "broken"  # type: ignore[assignment]

    def fail(*arguments: object) -> Frame:
        raise RuntimeError("broken")

    setattr(Broken, method, fail)

    extension = codec_of(Broken, bits=RSV.RSV1)
    place = Place()
    place.app.install(extension)
    with caplog.at_level(logging.CRITICAL, "wsext"):
        async with (
            place.client(extensions=[extension]) as (broken, members),
            place.client() as (fine, _),
        ):
            await members.broadcast("hello")
            assert await fine.receive() == "hello"
            assert (await broken.wait_closed()).code == 1011


async def test_flush_waits_for_slow_members() -> None:
    place = Place(overflow="drop-oldest")
    async with place.slow() as (slow, members):
        members.broadcast_nowait("end")
        flushing = asyncio.ensure_future(place.app.hub.flush())
        assert await everything(slow) == []
        await flushing
        assert not members.waiting_bytes


def test_many_broadcasts_of_one_turn_leave_together() -> None:
    async def scenario(world: World) -> None:
        place = Place()
        server = await world.serve(place.app)
        async with world.connect(server, "/tea") as session:
            members = await place.joined.get()
            began = len(world.network.events)
            for number in range(10):
                members.broadcast_nowait(str(number))
            assert [await session.receive() for _ in range(10)] == [str(n) for n in range(10)]
            events = list(world.network.events)[began:]
            assert [event.side for event in events if event.what == "writes"] == ["server"]

    simulate(scenario, weather=calm)


async def test_a_room_outlives_the_servers_that_used_it() -> None:
    place = Place(history=1)
    room = place.app.room("tea")
    for number in range(2):
        async with place.client() as (session, members):
            assert members.room is room
            await members.broadcast(str(number))
            while await session.receive() != str(number):  # the last one's is history
                pass
        assert len(room) == 0


async def test_what_cannot_be_read_from_a_backplane_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    async with place.client() as (session, members):
        for payload in (b"", b"\xc1", b"\x91\xa1x"):
            place.app.hub.receive("tea", payload)
        await members.broadcast("next")
        assert await session.receive() == "next"
        assert place.app.hub.status.unreadable == 3
    assert caplog.text.count("cannot be read") == 1


async def test_another_thread_is_told_what_to_call() -> None:
    place = Place()
    async with place.client() as (_, members), place.client() as (other, _):
        room = members.room
        calls = {
            "room.broadcast_nowait": [
                lambda: members.broadcast_nowait("hi"),
                lambda: members.broadcast_nowait("hi", exclude=members.session),
                lambda: asyncio.run(place.app.room("tea").broadcast("hi")),
            ],
            "room.join_nowait": [lambda: place.app.room("tea").join_nowait(members.session)],
            "membership.leave": [members.leave],
        }
        for call, ways in calls.items():
            for way in ways:
                with pytest.raises(RuntimeError, match=rf"call_soon_threadsafe\({call}, ...\)"):
                    await asyncio.to_thread(way)
        assert len(room) == 2
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon_threadsafe, members.broadcast_nowait, "as advised")
        assert await other.receive() == "as advised"
