"""Logs in Redis: other people's entries, what expires alone, and a replica without the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests import brokers
from tests.rooms.backplanes.logs import Log, asked_until, connected
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.backplanes.redis_log import number_of, read_head, read_live


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path) as broker:
        yield broker


@pytest.fixture
async def client(broker: brokers.Broker) -> AsyncIterator[Redis]:
    client = Redis(port=broker.port)
    yield client
    await client.aclose()


def test_answers_are_read() -> None:
    head = read_head(b"c", 9, b"a:3 b:7")
    assert head == ("c", 9, (Position("a", 3), Position("b", 7)))
    assert read_head(b"c", b"9", b"") == ("c", 9, ())
    for parts in ((b"\xff", 9, b""), (b"c", b"x", b""), (b"c", b"", b""), (b"c", 9, b"a:x")):
        assert read_head(*parts) is None
    assert read_live(b"e:7|x|y") == (Position("e", 7), b"x|y")
    assert read_live(b"|note") == (None, b"note")
    for garbage in (b"", b"e:7", b"e:x|", b"\xff:1|", b"7-1|x"):
        assert read_live(garbage) is None
    assert number_of(b"7-1700000000000") == 7
    for foreign in (b"1700000000000-0", b"0-1", b"7", b"x-1"):
        assert number_of(foreign) is None


async def test_what_somebody_else_adds_does_not_break_the_numbers(
    broker: brokers.Broker, client: Redis
) -> None:
    highest = "18446744073709551615-18446744073709551615"
    async with connected(broker) as one:
        await one.add("a")
        for id in ("1-99999999999999", "*", highest):
            await client.xadd("wsext:room:tea", {"d": b"x"}, id=id)
        assert await one.add("b", "a") == [(2, False), (1, True)]
        await client.xadd("wsext:room:tea", {"d": b"x"})
        assert await one.add("c") == [(3, False)]
        texts = await one.texts()
        assert [text for _, text in texts if text != "x"] == ["a", "b", "c"]
        assert texts[-2:] == [(2, "b"), (3, "c")]


async def test_a_number_is_given_only_with_its_message(
    broker: brokers.Broker, client: Redis
) -> None:
    async with connected(broker) as one:
        await one.add("a")
        await client.rename("wsext:room:tea", "aside")
        await client.set("wsext:room:tea", "somebody else's")
        assert await one.add("b") == []
        assert await client.get("wsext:room:tea") == b"somebody else's"
        await client.rename("aside", "wsext:room:tea")
        assert await one.add("c") == [(2, False)]
        assert await one.texts() == [(1, "a"), (2, "c")]


async def test_numbers_go_on_when_the_messages_have_expired(
    broker: brokers.Broker, client: Redis
) -> None:
    async with connected(broker) as one:
        await one.add("a", "b")
        head = await one.broker.head("tea")
        await client.delete("wsext:room:tea")
        assert await one.broker.head("tea") == head
        assert await one.add("c") == [(3, False)]
        assert await one.texts() == [(3, "c")]


async def test_messages_without_their_head_are_nobodys(
    broker: brokers.Broker, client: Redis
) -> None:
    async with connected(broker) as one:
        await one.add("a", "b")
        head = await one.broker.head("tea")
        await client.delete("wsext:head:tea")
        assert (await one.broker.head("tea")).common(head.position) == 0
        assert await one.add("b", "c") == [(1, False), (2, False)]
        assert await one.texts() == [(1, "b"), (2, "c")]


async def test_a_replica_without_the_end_is_another_epoch(
    broker: brokers.Broker, client: Redis, tmp_path: Path
) -> None:
    """Its numbers would be given again: whoever has seen them the first time has to be told."""
    folder = tmp_path / "replica"
    folder.mkdir()
    with brokers.running("redis-forgetful", folder) as second:
        replica = Redis(port=second.port)

        async def has(count: int) -> bool:
            return await replica.xlen("wsext:room:tea") == count

        async with connected(broker) as one:
            await one.add("a")
            await replica.replicaof("127.0.0.1", broker.port)
            await asked_until(lambda: has(1))
            await one.add("b")  # with its first replica, a server has another life, too
            await asked_until(lambda: has(2))
            await replica.replicaof("NO", "ONE")
            await one.add("c", "d")
            seen = await one.broker.head("tea")
        broker.kill()
        await replica.aclose()
        other = Log(second.url)
        await other.connect()
        assert (await other.broker.head("tea")).common(seen.position) == 2
        assert await other.add("e", "f", "g") == [(3, False), (4, False), (5, False)]
        head = await other.broker.head("tea")
        assert head.epoch != seen.epoch
        assert head.common(seen.position) == 2  # "d" was number 4, which is "f" now
        assert head.common(Position(seen.epoch, 1)) == 1
        assert await other.texts(1) == [(2, "b"), (3, "e"), (4, "f"), (5, "g")]
        await other.broker.disconnect()
