"""Hearing by positions: every number once, or it is said that some are lost. A broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.waiting import until
from wsext import Broker, LogHead, Position, RemoteBackplane
from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.contract import Incomplete
from wsext.rooms.backplanes.envelope import seal


class Scripted(Broker):
    """A log of the room ``tea`` that a test writes, and that can be wrong.

    Attributes:
        epoch, earlier: Of its head.
        stored: What it has, by number.
        top: The number that its head says.
        cuts: How often it is away when its head is asked for.
    """

    numbers = True

    def __init__(self) -> None:
        self.epoch = "e"
        self.earlier: tuple[Position, ...] = ()
        self.stored: dict[int, bytes] = {}
        self.top = self.cuts = 0
        self.followed = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def say(self, number: int, text: str = "x", *, live: bool = True) -> None:
        """Store a message, and deliver it."""
        self.stored[number] = seal("another", number, text.encode())
        self.top = max(self.top, number)
        if live:
            self.deliver("tea", Position(self.epoch, number), self.stored[number])

    async def connect(self, deliver: Any, lost: Any) -> None:
        self.deliver, self.lost = deliver, lost

    async def disconnect(self) -> None: ...
    async def append(self, records: Sequence[Record]) -> None: ...
    async def note(self, room: str, data: bytes) -> None: ...

    async def head(self, room: str) -> LogHead:
        if self.cuts:
            self.cuts -= 1
            raise ConnectionError("cut")
        return LogHead(self.epoch, self.top, self.earlier) if room == "tea" else LogHead("c", 0)

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        return [(n, data) for n, data in sorted(self.stored.items()) if after < n <= until]

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        last = sorted(self.stored.items())[-count:]
        return [(Position(self.epoch, number), data) for number, data in last]

    async def follow(self, room: str, after: Any) -> None:
        self.followed += 1
        if room != "tea":
            self.meanwhile()
            return
        for number, data in sorted(self.stored.items()):
            if number > after.number:
                self.deliver("tea", Position(self.epoch, number), data)

    async def unfollow(self, room: str) -> None: ...
    async def put_members(self, changes: Sequence[Any]) -> None: ...
    async def members(self, room: str) -> dict[str, bytes]:
        return {}

    async def beat(self, origin: str, seconds: float) -> None: ...


class Ear:
    """Hears, as a hub does."""

    origin = "me"

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes | None]] = []
        self.lost: list[tuple[Position, str]] = []

    def receive(self, room: str, payload: bytes) -> None: ...
    def resynced(self) -> None: ...
    def hear(self, room: str, position: Position, payload: bytes | None) -> None:
        self.heard.append((position.number, payload))

    def lose(self, room: str, position: Position, reason: str) -> None:
        self.lost.append((position, reason))


@asynccontextmanager
async def listening(broker: Scripted) -> AsyncIterator[tuple[RemoteBackplane, Ear]]:
    plane, ear = RemoteBackplane("bus://", broker), Ear()
    plane.recovery = True
    await plane.start(ear)
    try:
        yield plane, ear
    finally:
        await plane.close()


async def reconnect(plane: RemoteBackplane, broker: Scripted) -> None:
    before = plane.status.reconnects
    broker.lost(ConnectionError("cut"))
    await until(lambda: plane.status.reconnects > before)


async def test_what_was_said_while_it_was_away_is_heard_then() -> None:
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        assert await plane.open_log("tea", 0) == (Position("e", 0), [])
        broker.say(1)
        broker.say(1)
        broker.say(2, live=False)
        await reconnect(plane, broker)
        broker.say(3)
        assert [number for number, _ in ear.heard] == [0, 1, 2, 3]
        assert ear.lost == []
        assert plane.status.repeated == 1


async def test_a_number_that_did_not_come_is_read(caplog: pytest.LogCaptureFixture) -> None:
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        broker.say(1, live=False)
        broker.say(2)
        broker.say(3)
        await until(lambda: len(ear.heard) == 4)
        broker.say(4)
        assert [number for number, _ in ear.heard] == [0, 1, 2, 3, 4]
        assert (ear.lost, broker.followed, plane.status.reconnects) == ([], 2, 0)


async def test_a_number_that_is_nowhere_is_lost_before_the_next_is_heard() -> None:
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        broker.say(1)
        broker.say(4)
        await until(lambda: bool(ear.lost))
        assert ear.lost == [(Position("e", 3), "expired")]
        assert [number for number, _ in ear.heard] == [0, 1, 4]


async def test_everything_expired_while_it_was_away() -> None:
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        broker.top = 7
        await reconnect(plane, broker)
        assert ear.lost == [(Position("e", 7), "expired")]
        broker.say(8)
        assert ear.heard[-1] == (8, b"x")


async def test_another_epoch_that_goes_on_loses_nothing() -> None:
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        broker.say(1)
        broker.epoch, broker.earlier = "f", (Position("e", 1),)
        broker.say(2)
        await until(lambda: len(ear.heard) == 3)
        assert ear.lost == []
        broker.say(3)
        assert [number for number, _ in ear.heard] == [0, 1, 2, 3]


async def test_another_epoch_that_begins_while_other_rooms_are_caught_up() -> None:
    """Another process was back first, and has said something."""
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        for room in ("tea", "coffee"):
            await plane.open_log(room, 0)
        broker.say(1)

        def say() -> None:
            if broker.epoch == "e":
                broker.epoch, broker.earlier = "f", (Position("e", 1),)
                broker.say(2)

        broker.meanwhile = say
        await reconnect(plane, broker)
        broker.say(3)
        assert ear.heard[-2:] == [(2, b"x"), (3, b"x")]
        assert ear.lost == []


@pytest.mark.parametrize("earlier", [(Position("e", 1),), ()])
async def test_a_log_that_has_lost_its_end_is_told(earlier: tuple[Position, ...]) -> None:
    """Numbers are given again, in another epoch: with what is left, or from the beginning.

    What is said again there is heard again: whoever was told of the loss may not have had it.
    """
    broker = Scripted()
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        for number in (1, 2, 3):
            broker.say(number)
        broker.stored.clear()
        broker.epoch, broker.earlier, broker.top = "f", earlier, len(earlier)
        broker.stored[1] = seal("another", 1, b"x")
        broker.say(len(earlier) + 1, "new", live=False)
        broker.stored[broker.top] = seal("another", 2, b"again")
        await reconnect(plane, broker)
        assert ear.lost == [(Position("f", len(earlier)), "epoch")]
        assert ear.heard[-1] == (len(earlier) + 1, b"again")


async def test_what_comes_while_the_log_is_read_is_not_taken_for_the_log() -> None:
    """Somebody makes positions up, or another server is faster: nothing is said to be lost."""
    broker = Scripted()
    follow = broker.follow

    async def follow_and_hear_more(room: str, after: Any) -> None:
        await follow(room, after)
        if broker.followed == 2:
            for position in (Position("e", 7), Position("another", 1)):
                broker.deliver("tea", position, seal("another", 9, b"made up"))

    broker.follow = follow_and_hear_more  # type: ignore[method-assign]
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        broker.say(1)
        await reconnect(plane, broker)
        await until(lambda: broker.followed > 2)
        broker.say(2)
        assert ear.heard == [(0, None), (1, b"x"), (2, b"x")]
        assert ear.lost == []


async def test_a_log_that_begins_another_epoch_while_it_is_read_loses_nothing() -> None:
    """The first message after a restart comes between two questions of another server."""
    broker = Scripted()
    follow = broker.follow

    async def follow_a_new_epoch(room: str, after: Any) -> None:
        if broker.followed == 1:
            broker.epoch, broker.earlier = "f", (Position("e", broker.top),)
            broker.say(3, live=False)
        await follow(room, after)

    broker.follow = follow_a_new_epoch  # type: ignore[method-assign]
    async with listening(broker) as (plane, ear):
        await plane.open_log("tea", 0)
        for number in (1, 2):
            broker.say(number, live=False)
        await reconnect(plane, broker)
        await until(lambda: broker.followed > 2)
        assert ear.heard == [(0, None), (1, b"x"), (2, b"x"), (3, b"x")]
        assert ear.lost == []


async def test_a_room_opened_while_the_broker_is_away_begins_when_it_is_back() -> None:
    broker = Scripted()
    broker.say(1, live=False)
    async with listening(broker) as (plane, ear):
        broker.lost(ConnectionError("cut"))
        await until(lambda: not plane.status.connected)
        assert await plane.open_log("tea", 5) == (None, [])
        await until(lambda: plane.status.connected)
        assert ear.heard == [(1, None)]
        broker.say(2)
        assert ear.heard[-1] == (2, b"x")


async def test_what_is_replayed_is_complete_or_says_why_not() -> None:
    broker = Scripted()
    async with listening(broker) as (plane, _):
        await plane.open_log("tea", 0)
        for number in range(1, 6):
            broker.say(number)

        async def replay(since: int, until: int | None, messages: int = 9) -> list[int]:
            up_to = None if until is None else Position("e", until)
            found = await plane.replay("tea", Position("e", since), up_to, messages, 1000)
            return [position.number for position, _ in found]

        assert await replay(2, 4) == [3, 4]
        assert await replay(2, None) == [3, 4, 5]
        assert await replay(5, 5) == []
        for since, until, messages, reason in [
            (6, 5, 9, "ahead"),
            (0, 5, 4, "too-much"),
        ]:
            with pytest.raises(Incomplete, match=reason):
                await replay(since, until, messages)
        del broker.stored[3]
        assert await replay(3, 5) == [4, 5]
        with pytest.raises(Incomplete, match="expired"):
            await replay(2, 5)
        broker.epoch = "f"
        with pytest.raises(Incomplete, match="epoch"):
            await replay(3, 5)


async def test_a_replay_waits_for_a_broker_that_goes_away_just_then() -> None:
    broker = Scripted()
    broker.say(1, live=False)
    async with listening(broker) as (plane, _):
        broker.cuts = 1
        assert await plane.open_log("tea", 0) == (None, [])  # nobody has noticed it before
        broker.cuts = 1
        found = await plane.replay("tea", Position("e", 0), None, 9, 1000)
        assert [position.number for position, _ in found] == [1]
        assert plane.status.connected


async def test_a_message_that_the_broker_cannot_take_is_told() -> None:
    broker = Scripted()

    async def add(records: Sequence[Record]) -> list[tuple[Position, bool] | None]:
        return [None if record.room == "bad" else (Position("e", 7), True) for record in records]

    broker.add = add  # type: ignore[method-assign]
    async with listening(broker) as (plane, _):
        outcomes: list[asyncio.Future[Position]] = []
        for room in ("good", "bad"):
            outcomes.append(asyncio.get_running_loop().create_future())
            plane.submit(room, b"x", None, outcomes[-1])
        assert await outcomes[0] == Position("e", 7)
        with pytest.raises(Exception, match="cannot use this room"):
            await outcomes[1]
        assert plane.status.repeated == 1
