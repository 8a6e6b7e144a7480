"""Publishers: once and in order into the rooms of other processes, or an error that says which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import wsext
from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
from tests.rooms.scripted import ScriptedBroker
from tests.waiting import until
from wsext import (
    OutcomeUnknown,
    Publisher,
    PublishError,
    RemoteBackplane,
    RemoteOptions,
    RoomMessage,
)


@pytest.fixture(params=["redis", "nats"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


def publisher(broker: ScriptedBroker, timeout: float = 0.1) -> Publisher:
    options = RemoteOptions(max_backoff=0.02, timeout=0.05)
    return Publisher(lambda: RemoteBackplane("fake://", broker, options), timeout=timeout)


async def test_members_of_every_process_get_it_once_and_in_order(remote: brokers.Broker) -> None:
    async with (
        processes(remote.url, 2) as (one, two),
        joined(one, "tea?name=Ada") as a,
        joined(two, "tea?name=Bob") as b,
        joined(two, "coffee") as other,
        Publisher(remote.url) as speaker,
    ):
        for number in range(20):
            await speaker.publish("tea", f"{number}")
        await asyncio.gather(*(speaker.publish("tea", f"{n}") for n in range(20, 100)))
        await speaker.publish("coffee", "last")
        expected = [f"{number}" for number in range(100)]
        assert await a.receive(100) == await b.receive(100) == expected
        assert await other.receive(1) == ["last"]
        names = sorted(member.name for member in await speaker.presence("tea"))
        assert names == ["Ada", "Bob"]
        assert await speaker.presence("empty") == []
        last = await speaker.history("tea", 3)
        assert [message.data for message in last] == ["97", "98", "99"]
        assert await speaker.history("tea", 0) == []
        assert sorted(await speaker.rooms()) == ["coffee", "tea"]
        assert len(await speaker.rooms(1)) == 1
        how = {"id": "17", "key": "k", "hints": {"h": 1}, "meta": {"m": 1}}
        position = await speaker.publish("tea", b"bytes", **how)
        assert await speaker.history("tea", 1) == [RoomMessage(b"bytes", position, **how)]
        # No second copy is on its way to anybody.
        await speaker.publish("tea", "end")
        for client in (a, b):
            assert await client.session.receive() == b"bytes"
            assert await client.receive(1) == ["end"]


async def test_a_broker_that_is_away_is_waited_for(remote: brokers.Broker) -> None:
    remote.kill()
    async with Publisher(remote.url, timeout=60) as speaker:
        assert not speaker.status.connected
        waiting = asyncio.create_task(speaker.publish("tea", "at last"))
        presence = asyncio.create_task(speaker.presence("tea"))
        await asyncio.to_thread(remote.start)
        await waiting
        assert await presence == []
        assert [message.data for message in await speaker.history("tea", 5)] == ["at last"]


async def test_what_nobody_was_given_is_not_published_ever() -> None:
    broker = ScriptedBroker()
    broker.is_there = False
    async with publisher(broker) as speaker:
        with pytest.raises(PublishError, match=r"not published.*nobody there") as caught:
            await speaker.publish("tea", "never")
        assert type(caught.value) is PublishError
        assert (caught.value.room, speaker.status.queued) == ("tea", 0)
        with pytest.raises(ConnectionError, match="is away"):
            await speaker.presence("tea")
        broker.is_there = True
        await until(lambda: speaker.status.connected)
        await speaker.publish("tea", "later")
    assert len(broker.given) == 1


async def test_what_the_broker_does_not_answer_has_an_unknown_outcome() -> None:
    broker = ScriptedBroker()
    broker.answers.clear()
    broker.stores = False
    async with publisher(broker) as speaker:
        with pytest.raises(OutcomeUnknown, match="outcome unknown") as caught:
            await speaker.publish("tea", "perhaps")
        assert caught.value.id
        given = len(broker.given)
        broker.answers.set()
        broker.stores = True
        await speaker.publish("tea", "surely")
        assert len(broker.given) == given + 1  # the first one is not sent any more
        assert [message.data for message in await speaker.history("tea", 5)] == ["surely"]


@pytest.mark.parametrize("stores", [True, False])
async def test_an_answer_that_was_lost_makes_no_second_copy(stores: bool) -> None:
    broker = ScriptedBroker()
    broker.answers.clear()
    broker.stores = stores
    async with publisher(broker, timeout=30) as speaker:
        publishing = asyncio.create_task(speaker.publish("tea", "once"))
        await until(lambda: bool(broker.given))
        broker.stores = True
        broker.break_off()
        await until(lambda: not speaker.status.connected)
        broker.answers.set()
        await publishing
        assert len(broker.stored) == 1
        assert [message.data for message in await speaker.history("tea", 5)] == ["once"]


async def test_whoever_is_cancelled_takes_the_message_back() -> None:
    broker = ScriptedBroker()
    broker.is_there = False
    async with publisher(broker, timeout=30) as speaker:
        publishing = asyncio.create_task(speaker.publish("tea", "never"))
        await until(lambda: speaker.status.queued == 1)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert speaker.status.queued == 0


async def test_the_end_of_the_block_says_what_was_not_published() -> None:
    broker = ScriptedBroker()
    broker.is_there = False
    async with publisher(broker, timeout=30) as speaker:
        publishing = asyncio.create_task(speaker.publish("tea", "never"))
        await until(lambda: speaker.status.queued == 1)
    with pytest.raises(PublishError, match="closed"):
        await publishing


async def test_it_says_when_too_much_waits() -> None:
    broker = ScriptedBroker()
    broker.is_there = False
    options = RemoteOptions(queue_bytes=1024)
    many = Publisher(lambda: RemoteBackplane("fake://", broker, options), timeout=0.2)
    async with many as speaker:
        results = await asyncio.gather(
            *(speaker.publish("tea", bytes(600)) for _ in range(2)), return_exceptions=True
        )
    assert "too much waits" in str(results[0])


class Simple(wsext.Backplane):
    """A backplane of a plugin that does no more than it has to."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes] = []

    async def start(self, subscriber: object) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing to end."""

    async def open(self, room: str, history: int) -> list[bytes]:
        return self.said[-history:]

    async def shut(self, room: str) -> None:
        """Nothing comes."""

    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        self.said.append(payload)

    async def enter(self, room: str, member: str, info: bytes) -> None:
        """Nobody looks."""

    async def leave(self, room: str, member: str) -> None:
        """Nobody looks."""

    async def members(self, room: str) -> dict[str, bytes]:
        return {}


async def test_a_backplane_that_knows_nothing_of_publishers_will_do() -> None:
    simple = Simple()
    async with Publisher(lambda: simple, timeout=0.05) as speaker:
        await speaker.publish("tea", "hello")
        assert [message.data for message in await speaker.history("tea", 5)] == ["hello"]
        with pytest.raises(NotImplementedError, match="cannot tell which rooms"):
            await speaker.rooms()
        simple.status.connected = False
        with pytest.raises(OutcomeUnknown, match="is away"):
            await speaker.publish("tea", "hello")
        with pytest.raises(ConnectionError):
            await speaker.history("tea", 5)


async def test_what_cannot_be_done_is_said_at_once() -> None:
    with pytest.raises(wsext.OptionError, match="memory:// reaches nobody outside"):
        Publisher("memory://")
    with pytest.raises(wsext.OptionError, match="did you mean 'redis'"):
        Publisher("reds://localhost")
    with pytest.raises(wsext.OptionError, match="name"):
        Publisher("redis://localhost", name="a|b")
    with pytest.raises(wsext.OptionError, match="timeout"):
        Publisher("redis://localhost", timeout=0)
    speaker = publisher(ScriptedBroker())
    with pytest.raises(RuntimeError, match="not open"):
        await speaker.publish("tea", "hello")
    async with speaker:
        with pytest.raises(wsext.RoomError, match="name"):
            await speaker.publish("", "hello")
        with pytest.raises(TypeError):
            await speaker.publish("tea", 5)  # type: ignore[arg-type]
        with pytest.raises(wsext.RoomError, match="too large"):
            await speaker.publish("tea", bytes(1 << 25))
        with pytest.raises(wsext.RoomError, match="1 to 64 bytes"):
            await speaker.publish("tea", "hello", id="")
        with pytest.raises(ValueError, match="count"):
            await speaker.history("tea", -1)


async def test_closing_while_the_connection_is_lost_ends() -> None:
    broker = ScriptedBroker()
    async with publisher(broker) as speaker:
        await speaker.publish("tea", "hello")
        broker.break_off()
        await asyncio.sleep(0)  # what worked with the connection is being ended
    assert not speaker.status.connected


async def test_an_id_is_published_once_and_has_the_position_of_the_first(
    remote: brokers.Broker,
) -> None:
    async with (
        processes(remote.url, 1) as (one,),
        joined(one, "tea") as a,
        Publisher(remote.url, name="till") as till,
        Publisher(remote.url, name="other") as other,
    ):
        first = await till.publish("tea", "order 17", id="17")
        assert first is not None
        assert await till.publish("tea", "another text", id="17") == first
        async with Publisher(remote.url, name="till") as again:  # the program was started again
            assert await again.publish("tea", "order 17", id="17") == first
        assert await till.publish("tea", "order 18", id="18") == (first.epoch, first.number + 1)
        assert await other.publish("tea", "its own", id="17") == (first.epoch, first.number + 2)
        assert await a.receive(3) == ["order 17", "order 18", "its own"]


async def test_what_had_an_unknown_outcome_is_published_once_by_its_id(
    remote: brokers.Broker,
) -> None:
    async with Publisher(f"{remote.url}&timeout=0.2", timeout=1) as speaker:
        await speaker.publish("tea", "before")
        remote.stall()
        try:
            with pytest.raises(OutcomeUnknown) as caught:
                await speaker.publish("tea", "perhaps")
        finally:
            remote.go_on()
        await speaker.publish("tea", "perhaps", id=caught.value.id)
        said = [message.data for message in await speaker.history("tea", 5)]
        assert said == ["before", "perhaps"]


@pytest.mark.parametrize("kind", ["redis-forgetful", "nats-forgetful"])
async def test_a_broker_that_forgets_gets_the_last_messages_again(
    kind: str, tmp_path: Path
) -> None:
    with brokers.running(kind, tmp_path) as broker:
        async with Publisher(broker.url, timeout=60) as speaker:
            for number in range(5):
                await speaker.publish("tea", f"{number}")
            broker.kill()
            await asyncio.to_thread(broker.start)
            await speaker.publish("tea", "5")
            said = [message.data for message in await speaker.history("tea", 10)]
            assert said == [f"{number}" for number in range(6)]


async def test_a_room_that_the_broker_cannot_use_is_said(tmp_path: Path) -> None:
    with brokers.running("redis", tmp_path) as broker:
        client = Redis(port=broker.port)
        await client.set("wsext:room:tea", "a text of somebody else")
        await client.aclose()
        async with Publisher(broker.url) as speaker:
            with pytest.raises(PublishError, match="cannot use") as caught:
                await speaker.publish("tea", "hello")
            assert type(caught.value) is PublishError
            assert await speaker.publish("coffee", "hello") is not None
