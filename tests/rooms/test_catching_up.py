"""Rooms that catch up: what a member that comes back gets, from memory, Redis and NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import brokers
from tests.rooms.backplanes.logs import asked_until
from tests.rooms.backplanes.processes import Client, Process, joined, processes
from tests.waiting import until
from wsext import (
    Missed,
    Position,
    RoomMessage,
)


def stamp(message: RoomMessage) -> str:
    return f"{message.position.number} {message.data}"


ON: dict[str, Any] = {"recovery": True, "stamp": stamp}


@pytest.fixture(params=["memory", "redis", "nats"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{tmp_path.name}"
        return
    with brokers.running(request.param, tmp_path) as broker:
        yield broker.url


def position_of(client: Client) -> Position:
    position = client.members.position
    assert position is not None
    return position


async def said(client: Client, text: str) -> Position:
    """Broadcast something; its position."""
    position = await client.members.broadcast(text)
    assert position is not None
    return position


async def test_whoever_comes_back_gets_exactly_what_came_since(url: str) -> None:
    """On the same process or another, that has the room open or not."""
    async with processes(url, 3, **ON) as (one, two, three), joined(one, "tea") as a:
        async with joined(two, "tea") as b:
            await a.session.send("a")
            assert await a.receive(1) == await b.receive(1) == ["1 a"]
            since = position_of(b)
            assert position_of(a) == since
            assert since.number == 1
        for text in "bcd":
            await a.session.send(text)
        assert await a.receive(3) == ["2 b", "3 c", "4 d"]
        came = ["2 b", "3 c", "4 d"]
        for process in (one, two, three):
            async with joined(process, f"tea?since={since}&history=1") as back:
                assert back.members.recovered
                assert await back.receive(len(came)) == came
                assert position_of(back) == position_of(a)
                await a.session.send("live")
                came += await a.receive(1)
                assert await back.receive(1) == came[-1:] == [f"{len(came) + 1} live"]
        counters = [process.app.hub.counters for process in (one, two, three)]
        assert [each.recovered for each in counters] == [1, 1, 1]
        assert all(not each.missed for each in counters)


async def test_a_broadcast_tells_its_position_and_is_heard_in_one_order(url: str) -> None:
    async with (
        processes(url, 2, **ON) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):

        async def say(client: Client, name: str) -> list[int]:
            positions = [await client.members.broadcast(f"{name}{n}") for n in range(20)]
            return [position.number for position in positions if position is not None]

        said = await asyncio.gather(say(a, "a"), say(b, "b"))
        assert sorted(said[0] + said[1]) == list(range(1, 41))
        heard = await a.receive(40)
        assert heard == await b.receive(40)
        assert [int(text.split()[0]) for text in heard] == list(range(1, 41))


async def test_a_message_with_the_same_id_is_delivered_once(url: str) -> None:
    async with (
        processes(url, 2, **ON) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        first = await a.members.broadcast("a", id="order 7")
        assert await a.members.broadcast("again", id="order 7") == first
        assert await b.members.broadcast("and again, by another process", id="order 7") == first
        b.members.broadcast_nowait("and again", id="order 7")
        other = await one.app.room("coffee").broadcast("another room", id="order 7")
        assert other is not None
        await b.members.broadcast("b")
        assert await a.receive(2) == await b.receive(2) == ["1 a", "2 b"]
        async with joined(two, "tea?history=9") as late:
            assert await late.receive(2) == ["1 a", "2 b"]


async def test_a_position_that_the_log_does_not_have_is_told_before_anything_else(url: str) -> None:
    async with processes(url, 2, **ON) as (one, two), joined(one, "tea") as a:
        epoch, number = await said(a, "a")
        for since, reason in [
            (Position(epoch, number + 1), "ahead"),
            (Position(epoch, 1 << 53), "ahead"),
            (Position("another", 0), "epoch"),
            (Position("another", 1), "epoch"),
        ]:
            for process in (one, two):
                async with joined(process, f"tea?since={since}&history=5") as back:
                    assert await back.receive(2) == [f"missed: {reason}", "1 a"]
                    missed = back.members.missed
                    assert missed == Missed(reason, since, Position(epoch, 1))
                    assert not back.members.recovered
                    assert position_of(back).number == 1
        assert one.app.hub.counters.missed == {"ahead": 2, "epoch": 2}
        assert one.app.hub.counters.recovered == 0


async def test_what_is_said_while_it_is_read_comes_once(url: str) -> None:
    """Subscribing, reading and what is said meanwhile: each number once, in order."""
    more = "?retain=5000" if url.startswith("memory") else ""
    async with processes(url + more, 2, **ON, replay_messages=5000) as (one, two):
        speaker = one.app.room("tea")
        start = await speaker.broadcast("0")
        assert start is not None
        going = True

        async def speak() -> None:
            while going:
                speaker.broadcast_nowait("x")
                await asyncio.sleep(0.001)

        speaking = asyncio.ensure_future(speak())
        try:
            for _ in range(5):
                async with joined(two, f"tea?since={start}") as back:
                    first = [int(text.split()[0]) for text in await back.receive(20)]
                    assert first == list(range(start.number + 1, start.number + 21))
                    now = position_of(back)
                start = Position(now.epoch, now.number - 10)
        finally:
            going = False
            await speaking


async def test_more_than_a_member_may_catch_up_is_missed(url: str) -> None:
    bounds = {"replay_messages": 3, "replay_bytes": 1000, "history": 2}
    async with processes(url, 2, **ON, **bounds) as (one, two), joined(one, "tea") as a:
        start = position_of(a)
        for _ in range(3):
            await a.members.broadcast("x")
        async with joined(two, f"tea?since={start}") as back:
            assert await back.receive(3) == ["1 x", "2 x", "3 x"]
        await a.members.broadcast("x")
        async with joined(two, f"tea?since={start}&history=2") as back:
            assert await back.receive(3) == ["missed: too-much", "3 x", "4 x"]
        await a.members.broadcast("y" * 2000)
        last = Position(start.epoch, 4)
        async with joined(two, f"tea?since={last}") as back:
            assert await back.receive(1) == ["missed: too-much"]


async def test_what_the_broker_keeps_no_longer_is_missed(url: str) -> None:
    keep = f"{url}{'&' if '?' in url else '?'}retain=5"
    async with processes(keep, 2, **ON, history=1) as (one, two), joined(one, "tea") as a:
        start = position_of(a)
        for _ in range(300):
            await a.members.broadcast("x")
        async with joined(two, f"tea?since={start}") as back:
            assert await back.receive(1) == ["missed: expired"]
            live = await said(a, "live")
            assert (await back.receive(1))[0].endswith("live")
            assert position_of(back) == live


@pytest.fixture(params=["redis", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


def connected(process: Process) -> bool:
    return process.app.hub.status.connected


async def test_a_broker_that_is_killed_and_keeps_its_data_loses_nothing(
    broker: brokers.Broker,
) -> None:
    """Broadcasts wait for it; whoever was away all the time catches up across it."""
    async with (
        processes(broker.url, 2, **ON) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        start = position_of(a)
        for number in range(5):
            await a.members.broadcast(f"a{number}")
        broker.kill()
        await until(lambda: not connected(one) and not connected(two))
        waiting = asyncio.ensure_future(a.members.broadcast("waits"))
        b.members.broadcast_nowait("waits, too")
        await until(lambda: one.app.hub.status.queued == 1)
        broker.start()
        position = await waiting
        heard = await a.receive(7)
        assert heard == await b.receive(7)
        assert [int(text.split()[0]) for text in heard] == list(range(1, 8))
        assert sorted(text[2:] for text in heard[5:]) == ["waits", "waits, too"]
        assert position is not None
        assert position.epoch != start.epoch
        assert a.members.recovered
        assert b.members.recovered
        for process in (one, two):
            async with joined(process, f"tea?since={start}") as back:
                assert await back.receive(7) == heard


async def test_an_append_whose_answer_is_lost_is_not_repeated(broker: brokers.Broker) -> None:
    """The broker stalls while it has the message, and is cut off: it has it once."""
    async with (
        processes(broker.url + "&timeout=1", 1, **ON) as (one,),
        processes(broker.url, 1, **ON) as (two,),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        broker.stall()
        waiting = [asyncio.ensure_future(a.members.broadcast(str(n))) for n in range(5)]
        await until(lambda: not connected(one))
        broker.go_on()  # and takes what came to it before
        positions = await asyncio.gather(*waiting)
        assert [position.number for position in positions if position] == [1, 2, 3, 4, 5]
        expected = [f"{n + 1} {n}" for n in range(5)]
        assert await a.receive(5) == await b.receive(5) == expected
        await b.members.broadcast("end")
        assert await a.receive(1) == await b.receive(1) == ["6 end"]


@pytest.mark.parametrize("kind", ["redis-forgetful", "nats-forgetful"])
async def test_a_broker_that_comes_back_empty_is_no_silent_loss(kind: str, tmp_path: Path) -> None:
    """What was taken a moment ago is sent again, but nobody can know that this is everything."""
    with brokers.running(kind, tmp_path) as broker:
        async with (
            processes(broker.url, 2, **ON) as (one, two),
            joined(one, "tea") as a,
            joined(two, "tea") as b,
        ):
            since = await said(a, "a")
            assert await a.receive(1) == await b.receive(1) == ["1 a"]
            broker.kill()
            broker.start()
            for client in (a, b):
                assert (await client.session.wait_closed()).remote == (1012, "messages are missing")
            await one.app.room("tea").broadcast("b")
            for process in (one, two):
                async with joined(process, f"tea?since={since}&history=9") as back:
                    got = await back.receive(3)
                    assert got[0] == "missed: epoch"
                    assert sorted(text[2:] for text in got[1:]) == ["a", "b"]  # "a" was sent again
                    assert process.app.hub.counters.missed == {"epoch": 2}


async def test_a_replica_without_the_end_is_no_silent_loss(tmp_path: Path) -> None:
    """The replica has other messages under the same numbers."""
    (tmp_path / "replica").mkdir()
    with (
        brokers.running("redis", tmp_path) as broker,
        brokers.running("redis", tmp_path / "replica") as second,
    ):
        replica = Redis(port=second.port)
        async with processes(broker.url, 1, **ON) as (one,), joined(one, "tea") as a:
            await a.members.broadcast("a")
            await replica.replicaof("127.0.0.1", broker.port)
            await asked_until(lambda: _has(replica, 1))
            kept = await said(a, "b")
            await asked_until(lambda: _has(replica, 2))
            await replica.replicaof("NO", "ONE")
            seen = await said(a, "lost")
        await replica.aclose()
        broker.kill()
        async with processes(second.url, 1, **ON) as (two,), joined(two, "tea") as b:
            await b.members.broadcast("c")
            await b.members.broadcast("d")
            async with joined(two, f"tea?since={kept}") as back:
                assert await back.receive(2) == ["3 c", "4 d"]
            async with joined(two, f"tea?since={seen}&history=1") as back:
                assert await back.receive(2) == ["missed: ahead", "4 d"]


async def _has(client: Redis, count: int) -> bool:
    return await client.xlen("wsext:room:tea") == count


async def test_whoever_comes_while_the_broker_is_away_is_not_refused(
    broker: brokers.Broker,
) -> None:
    """What this process remembers is enough to catch up; otherwise it waits for a while."""
    url = broker.url + "&timeout=1"
    async with processes(url, 2, **ON) as (one, two), joined(one, "tea") as a:
        start = position_of(a)
        await a.members.broadcast("a")
        assert await a.receive(1) == ["1 a"]
        broker.kill()
        await until(lambda: not connected(one) and not connected(two))
        async with joined(one, f"tea?since={start}") as back:
            assert await back.receive(1) == ["1 a"]
        async with joined(two, f"tea?since={start}") as back:
            assert await back.receive(1) == ["missed: away"]
            broker.start()
            await until(lambda: connected(two))
            await a.members.broadcast("b")
            assert await back.receive(1) == await a.receive(1) == ["2 b"]


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_a_gap_that_the_broker_can_fill_is_filled(broker: brokers.Broker) -> None:
    """Somebody makes numbers up on the channel: the log is read again, and is right."""
    async with processes(broker.url, 1, **ON) as (one,), joined(one, "tea") as a:
        epoch, _ = position_of(a)
        client = Redis(port=broker.port)
        await client.publish("wsext:live:tea", f"{epoch}:7|x")
        await client.publish("wsext:live:tea", "another:1|x")
        await client.aclose()
        for number in range(1, 4):
            await a.members.broadcast("x")
            assert await a.receive(1) == [f"{number} x"]
        assert a.members.recovered
        assert one.app.hub.status.reconnects == 0
