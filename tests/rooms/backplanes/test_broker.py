"""What a broker promises that numbers messages: Redis and NATS, through their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import brokers
from tests.rooms.backplanes.logs import asked_until, connected, record
from tests.waiting import until
from wsext import Broker
from wsext.rooms.backplanes.positions import Position


@pytest.fixture(params=["redis", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


async def test_numbers_have_no_gap_whoever_writes(broker: brokers.Broker) -> None:
    async with connected(broker) as one, connected(broker) as two:
        head = await one.broker.head("tea")
        assert (head.number, head.earlier) == (0, ())
        assert await two.broker.head("tea") == head

        async def write(log: Any, name: str) -> list[tuple[int, bool]]:
            found = []
            for batch in range(5):
                found += await log.add(*(f"{name}{batch}.{n}" for n in range(4)))
            return found

        added = await asyncio.gather(write(one, "a"), write(two, "b"))
        assert sorted(number for found in added for number, _ in found) == list(range(1, 41))
        texts = await two.texts()
        assert [number for number, _ in texts] == list(range(1, 41))
        for name in "ab":
            mine = [text for _, text in texts if text.startswith(name)]
            assert mine == [f"{name}{batch}.{n}" for batch in range(5) for n in range(4)]
        assert (await one.broker.head("tea")).position == Position(head.epoch, 40)
        assert await one.texts(38) == texts[38:]
        assert [p.number for p, _ in await one.broker.tail("tea", 3)] == [38, 39, 40]


async def test_other_rooms_have_logs_of_their_own(broker: brokers.Broker) -> None:
    async with connected(broker) as one:
        placed = await one.add("a", record("b", room="coffee"), "c", record("d", room="coffee"))
        assert [number for number, _ in placed] == [1, 1, 2, 2]
        tea, coffee = await one.broker.head("tea"), await one.broker.head("coffee")
        assert tea.number == coffee.number == 2
        assert tea.epoch != coffee.epoch


async def test_an_id_is_stored_once_whoever_repeats_it(broker: brokers.Broker) -> None:
    async with connected(broker, "&ids=3") as one, connected(broker, "&ids=3") as two:
        assert await one.add("a", record("again", "a"), "b") == [(1, False), (1, True), (2, False)]
        assert await two.add("b", "c", "a") == [(2, True), (3, False), (1, True)]
        await one.add("d")  # now "a" is not among the last three
        assert await two.add("b", "a") == [(2, True), (5, False)]
        assert [text for _, text in await one.texts()] == ["a", "b", "c", "d", "a"]
        assert await one.add(record("x", "a", room="coffee")) == [(1, False)]


async def test_an_id_is_remembered_for_its_time(broker: brokers.Broker) -> None:
    async with connected(broker, "&id_ttl=1") as one, connected(broker, "&id_ttl=1") as two:
        assert await one.add("a") == [(1, False)]
        assert await two.add("a") == [(1, True)]

        async def is_forgotten() -> bool:
            return await two.add("a") == [(2, False)]

        await asked_until(is_forgotten)
        assert [text for _, text in await one.texts()] == ["a", "a"]


async def test_what_follows_is_delivered_from_a_position_on(broker: brokers.Broker) -> None:
    async with connected(broker) as one, connected(broker) as two:
        await one.add("a", "b")
        head = await two.broker.head("tea")
        await two.broker.follow("tea", Position(head.epoch, 1))
        assert two.heard == [(head.position, "b")]
        await one.add("c", "b", "d")
        await until(lambda: len(two.heard) == 3)
        assert [(p.number, text) for p, text in two.heard] == [(2, "b"), (3, "c"), (4, "d")]
        two.heard.clear()
        await two.broker.follow("tea", Position(head.epoch, 2))  # the same room again
        await until(lambda: len(two.heard) == 2)
        await one.add("e")
        await until(lambda: len(two.heard) == 3)
        assert [text for _, text in two.heard] == ["c", "d", "e"]


async def test_following_loses_nothing_while_others_write(broker: brokers.Broker) -> None:
    """Subscribing and reading race with those who write: each number is delivered once."""
    async with connected(broker) as one, connected(broker) as two:
        writing = asyncio.ensure_future(one.add(*map(str, range(100))))
        for _ in range(20):
            two.heard.clear()
            await two.broker.follow("tea", None)
            numbers = [position.number for position, _ in two.heard]
            assert numbers == list(range(1, len(numbers) + 1))
        await writing
        await until(lambda: len(two.heard) == 100)
        assert [text for _, text in two.heard] == list(map(str, range(100)))


async def test_a_restart_with_the_data_begins_an_epoch_that_goes_on(broker: brokers.Broker) -> None:
    async with connected(broker) as one:
        await one.add("a", "b")
        before = await one.broker.head("tea")
        await one.broker.disconnect()
        broker.kill()
        broker.start()
        await one.connect()
        assert await one.broker.head("tea") == before  # nothing was written since
        assert await one.add("b", "c") == [(2, True), (3, False)]
        after = await one.broker.head("tea")
        assert (after.number, after.earlier) == (3, (before.position,))
        assert after.epoch != before.epoch
        assert after.common(Position(before.epoch, 2)) == 2
        assert after.common(Position(before.epoch, 3)) == 2  # nobody may have seen this one
        assert await one.texts() == [(1, "a"), (2, "b"), (3, "c")]
        await one.broker.follow("tea", Position(before.epoch, 1))
        await until(lambda: len(one.heard) == 2)
        assert [text for _, text in one.heard] == ["b", "c"]


async def test_a_log_that_was_emptied_is_another(broker: brokers.Broker) -> None:
    async with connected(broker) as one, connected(broker) as two:
        await one.add("a", "b")
        before = await one.broker.head("tea")
        await two.broker.follow("tea", before.position)
        await _empty(broker)
        assert await one.add("b") == [(1, False)]
        after = await two.broker.head("tea")
        assert (after.number, after.earlier) == (1, ())
        assert after.common(before.position) == 0
        await until(lambda: bool(two.heard))
        assert two.heard == [(after.position, "b")]


async def _empty(broker: brokers.Broker) -> None:
    """Remove every message, as somebody at the broker's console does."""
    if broker.kind == "redis":
        from redis.asyncio import Redis

        async with Redis(port=broker.port) as client:
            await client.flushall()
    else:
        import nats

        client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
        await client.jetstream().purge_stream("wsext")
        await client.close()


async def test_what_was_trimmed_is_not_there(broker: brokers.Broker) -> None:
    """Redis trims whole nodes of 100 entries, NATS to the message."""
    async with connected(broker, "&retain=5") as one:
        for number in range(220):
            await one.add(str(number))
        found = await one.texts()
        assert found[-1] == (220, "219")
        assert 5 <= len(found) < 220
        assert [number for number, _ in found] == list(range(found[0][0], 221))


async def test_reading_stops_after_enough_bytes(broker: brokers.Broker) -> None:
    async with connected(broker) as one:
        await one.add(*("x" * 1000 + str(number) for number in range(9)))
        found = await one.broker.read("tea", 2, 8, 2500)
        assert [number for number, _ in found] == [3, 4, 5]
        assert [number for number, _ in await one.broker.read("tea", 2, 4, 2500)] == [3, 4]


async def test_a_reply_that_is_lost_after_the_append_doubles_nothing(
    broker: brokers.Broker,
) -> None:
    async with connected(broker) as one, connected(broker) as other:
        await one.add("a")
        lost = asyncio.ensure_future(one.add(record("b", fresh=True), record("c", fresh=True)))
        async with asyncio.timeout(10):
            while len(await other.texts()) < 3:
                pass
        if not lost.done():
            lost.cancel()
        await one.broker.disconnect()
        await other.add("of another")
        await one.connect()
        again = await one.add(record("b", fresh=False), record("c", fresh=False), "d")
        assert again == [(2, True), (3, True), (5, False)]


async def test_one_that_gives_no_numbers_is_complete_without_them() -> None:
    class Old(Broker):
        """As one is written for the contract without numbers."""

        async def connect(self, deliver: Any, lost: Any) -> None: ...
        async def disconnect(self) -> None: ...
        async def append(self, records: Sequence[Any]) -> None: ...
        async def note(self, room: str, data: bytes) -> None: ...
        async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
            return []

        async def follow(self, room: str, after: Any) -> None: ...
        async def unfollow(self, room: str) -> None: ...
        async def put_members(self, changes: Sequence[Any]) -> None: ...
        async def members(self, room: str) -> dict[str, bytes]:
            return {}

        async def beat(self, origin: str, seconds: float) -> None: ...

    old = Old()
    assert not old.numbers
    for work in (old.add([]), old.head("tea"), old.read("tea", 0, 1, 1)):
        with pytest.raises(NotImplementedError):
            await work
