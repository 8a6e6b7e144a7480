"""Reconnection over any broker: once, in order, through their deaths, on the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import brokers
from tests.rooms.backplanes.processes import Process, joined, processes
from tests.waiting import until
from wsext.rooms.backplanes.nats import NatsBroker
from wsext.rooms.backplanes.options import NatsOptions, RemoteOptions, take_options
from wsext.rooms.backplanes.redis import RedisBroker


@pytest.fixture(params=brokers.KINDS)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


def away(process: Process) -> bool:
    return not process.app.hub.status.connected


def back(process: Process) -> bool:
    return process.app.hub.status.connected


async def declare_dead(url: str, origin: str) -> None:
    """Take back a process's sign of life, as time does it with one that is dead."""
    bare, options = take_options(url, NatsOptions if url.startswith("nats") else RemoteOptions)
    broker = (
        NatsBroker(bare, options)
        if isinstance(options, NatsOptions)
        else RedisBroker(bare, options)
    )
    await broker.connect(lambda room, position, data: None, lambda error: None)
    await broker.beat(origin, 0)
    await broker.disconnect()


async def test_members_of_a_process_without_a_sign_of_life_are_gone(
    remote: brokers.Broker,
) -> None:
    async with (
        processes(remote.url, 2) as (one, two),
        joined(one, "tea?name=Ada") as ada,
        joined(two, "tea?name=Bob"),
    ):
        assert len(await ada.members.presence()) == 2
        await declare_dead(remote.url, two.app.hub.origin)
        assert [member.name for member in await ada.members.presence()] == ["Ada"]


async def test_a_killed_broker_loses_nothing_and_repeats_nothing(remote: brokers.Broker) -> None:
    """Messages go on before, while and after it is away, from both sides."""
    async with processes(remote.url, 2) as (one, two):
        async with joined(one, "tea") as a, joined(two, "tea") as b:
            sent = 0

            async def say(count: int) -> None:
                nonlocal sent
                for _ in range(count):
                    await a.members.broadcast(f"a{sent}")
                    await b.members.broadcast(f"b{sent}")
                    sent += 1

            await say(100)
            remote.kill()
            await say(100)
            await until(lambda: away(one) and away(two))
            await say(100)
            assert one.app.hub.status.queued > 0
            remote.start()
            await say(100)
            await until(lambda: back(one) and back(two))
            await say(100)
            for client in (a, b):
                got = await client.receive(2 * sent)
                for sender in "ab":
                    mine = [text for text in got if text[0] == sender]
                    assert mine == [f"{sender}{number}" for number in range(sent)]
        status = one.app.hub.status
        assert (status.reconnects, status.dropped) == (1, 0)


async def test_rooms_work_on_while_the_broker_is_away(remote: brokers.Broker) -> None:
    async with processes(remote.url, 2) as (one, two):
        remote.kill()
        await until(lambda: away(one) and away(two))
        async with joined(one, "tea") as a, joined(one, "tea") as b:
            await a.session.send("local")
            assert await b.receive(1) == ["local"]
            assert len(await a.members.presence()) == 2
            async with joined(one, "tea?history=5") as late, joined(two, "tea") as c:
                assert await late.receive(1) == ["local"]
                changes = c.members.changes()
                remote.start()
                await until(lambda: back(one) and back(two))
                assert (await anext(changes)).kind == "join"
                await c.session.send("together")
                for client in (a, b, late, c):
                    while (await client.receive(1)) != ["together"]:
                        pass
                assert len(await c.members.presence()) == 4


async def test_what_waits_is_bounded_and_the_oldest_goes(remote: brokers.Broker) -> None:
    async with (
        processes(remote.url + "&queue_bytes=10000", 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        remote.kill()
        await until(lambda: away(one) and away(two))
        for number in range(100):
            a.members.broadcast_nowait(f"{number:04}" + "x" * 1000)
        status = one.app.hub.status
        assert status.queued_bytes <= 10000
        assert status.dropped + status.queued == 100
        remote.start()
        got = [int(text[:4]) for text in await b.receive(status.queued)]
        assert got == list(range(status.dropped, 100))
        assert len(await a.receive(100)) == 100
