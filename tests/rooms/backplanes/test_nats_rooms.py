"""Logs in NATS: other people's messages, a stream that is made anew, rooms that are silent."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.js.client import JetStreamContext

from tests import brokers
from tests.rooms.backplanes.logs import connected, record
from wsext.rooms.backplanes.nats_rooms import room_token

TEA = f"wsext.room.{room_token('tea')}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("nats", tmp_path) as broker:
        yield broker


@pytest.fixture
async def stream(broker: brokers.Broker) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
    yield client.jetstream()
    await client.close()


def test_a_room_is_named_in_the_alphabet_of_subjects() -> None:
    assert room_token("Tee ü.*") == urlsafe_b64encode("Tee ü.*".encode()).decode().rstrip("=")


async def test_what_somebody_else_stores_does_not_break_the_numbers(
    broker: brokers.Broker, stream: JetStreamContext
) -> None:
    async with connected(broker) as one, connected(broker) as two:
        await one.add("a", "b")
        before = await one.broker.head("tea")
        for _ in range(3):
            await stream.publish(TEA, b"garbage")
        assert await one.add("c") == [(3, False)]
        await stream.publish(TEA, b"garbage")
        assert await two.add("d", "a") == [(4, False), (1, True)]
        assert await two.texts() == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
        assert (await two.broker.head("tea")).epoch == before.epoch
        await stream.publish(TEA, b"garbage")
        await two.broker.follow("tea", before.position)
        assert [text for _, text in two.heard] == ["c", "d"]


async def test_a_room_between_many_messages_of_others_is_found(broker: brokers.Broker) -> None:
    async with connected(broker) as one:
        await one.add("a", "b", "c")
        for number in range(300):
            await one.add(record(str(number), room="coffee"))
        await one.add("d")
        assert [text for _, text in await one.texts(1)] == ["b", "c", "d"]
        assert [data for _, data in await one.broker.tail("tea", 3)] == [b"b", b"c", b"d"]


async def test_a_stream_that_somebody_makes_anew_is_noticed(
    broker: brokers.Broker, stream: JetStreamContext
) -> None:
    async with connected(broker) as one:
        await one.add("a")
        before = await one.broker.head("tea")
        await one.broker.beat("abc", 15)
        config = (await stream.stream_info("wsext")).config
        await stream.delete_stream("wsext")
        await stream.add_stream(config)
        with pytest.raises(ConnectionError, match="made the stream anew"):
            await one.broker.beat("abc", 15)
        await one.broker.disconnect()
        await one.connect()
        assert await one.add("b") == [(1, False)]
        assert (await one.broker.head("tea")).common(before.position) == 0


async def test_a_server_that_has_lost_its_end_begins_an_epoch(
    broker: brokers.Broker, stream: JetStreamContext
) -> None:
    """It has lost more than a restart tells of: this process knows of a batch that is gone."""
    async with connected(broker) as one:
        await one.add("a")
        await one.add("b")
        before = await one.broker.head("tea")
        last = await stream.get_last_msg("wsext", TEA)
        assert last.seq is not None
        await stream.delete_msg("wsext", last.seq)
        await one.add("c")
        after = await one.broker.head("tea")
        assert after.epoch != before.epoch
        assert after.common(before.position) < 2


async def test_a_log_goes_on_while_somebody_listens(
    broker: brokers.Broker, stream: JetStreamContext
) -> None:
    """Everything in a stream expires, also what says where a silent room's log is."""
    async with connected(broker, "&ttl=60") as one:
        await one.add("a")
        head = await one.broker.head("tea")
        await one.broker.follow("tea", head.position)
        await one.broker.beat("abc", 15)
        assert (await stream.stream_info("wsext")).state.messages == 1
        now = asyncio.get_running_loop().time()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wsext.rooms.backplanes.nats_rooms.time.monotonic", lambda: now + 31)
            await one.broker.beat("abc", 15)
            await one.broker.beat("abc", 15)
        assert (await stream.stream_info("wsext")).state.messages == 2
        assert await one.broker.head("tea") == head
        assert await one.add("b") == [(2, False)]
