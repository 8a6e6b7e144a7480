"""What every backplane promises, on the real brokers: once, in order, through their deaths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
from tests.waiting import until
from wsext import Room


@pytest.fixture(params=["memory", *brokers.KINDS])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker | None]:
    if request.param == "memory":
        yield None
        return
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


async def test_everybody_hears_it_once_and_in_the_senders_order(
    broker: brokers.Broker | None,
) -> None:
    async with processes(broker and broker.url, 3) as (one, two, three):
        async with (
            joined(one, "tea") as a,
            joined(one, "tea") as b,
            joined(two, "tea") as c,
            joined(three, "tea") as d,
            joined(three, "coffee") as other,
        ):
            for number in range(100):
                await a.session.send(f"a{number}")
                await d.session.send(f"d{number}")
            for client in (a, b, c, d):
                got = await client.receive(200)
                for sender in "ad":
                    mine = [text for text in got if text[0] == sender]
                    assert mine == [f"{sender}{number}" for number in range(100)]
            await other.session.send("only here")
            assert await other.receive(1) == ["only here"]
            await a.session.send("last")
            for client in (a, b, c, d):
                assert await client.receive(1) == ["last"]
        assert two.app.hub.status.received == 201


async def test_history_is_everybodys_and_outlives_the_room(broker: brokers.Broker | None) -> None:
    async with processes(broker and broker.url, 2) as (one, two):
        async with joined(one, "tea") as a, joined(two, "tea") as b:
            for number in range(5):
                await a.session.send(f"a{number}")
            assert len(await b.receive(5)) == 5
            await b.session.send("b")
            assert (await a.receive(6))[-1] == "b"
            async with joined(two, "tea?history=3") as late:
                assert await late.receive(3) == ["a3", "a4", "b"]
        await until(lambda: not one.app.hub.rooms and not two.app.hub.rooms)
        async with joined(one, "tea?history=6") as again:
            assert await again.receive(6) == ["a0", "a1", "a2", "a3", "a4", "b"]
            await again.session.send("new")
            assert await again.receive(1) == ["new"]


async def test_presence_is_everybodys(broker: brokers.Broker | None) -> None:
    async with (
        processes(broker and broker.url, 2) as (one, two),
        joined(one, "tea?name=Ada") as ada,
    ):
        changes = ada.members.changes()
        async with joined(two, "tea?name=Bob") as bob:
            for client in (ada, bob):
                names = sorted(member.name for member in await client.members.presence())
                assert names == ["Ada", "Bob"]
            change = await anext(changes)
            assert (change.kind, change.member) == ("join", bob.members.me)
        change = await anext(changes)
        assert (change.kind, change.member.name) == ("leave", "Bob")

        async def alone() -> bool:
            return [member.name for member in await ada.members.presence()] == ["Ada"]

        await until(alone)


async def test_who_is_left_out_hears_nothing(broker: brokers.Broker | None) -> None:
    async with (
        processes(broker and broker.url, 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
        joined(two, "tea") as c,
    ):
        await a.members.broadcast("not for a and b", exclude=[a.members.session, b.members.me])
        await a.members.broadcast("for all")
        assert await c.receive(2) == ["not for a and b", "for all"]
        assert await a.receive(1) == ["for all"]
        assert await b.receive(1) == ["for all"]


async def test_a_room_is_heard_no_more_when_nobody_is_in_it(broker: brokers.Broker | None) -> None:
    async with processes(broker and broker.url, 2) as (one, two):
        async with joined(one, "tea") as a:
            async with joined(two, "tea"):
                pass
            await until(lambda: not two.app.hub.rooms)
            await a.session.send("alone")
            assert await a.receive(1) == ["alone"]
            async with joined(two, "tea") as back_again:
                await a.session.send("both")
                heard = await back_again.receive(1)
                if heard == ["alone"]:  # the broker had not got it when the room was joined again
                    heard = await back_again.receive(1)
                assert heard == ["both"]
        assert isinstance(one.app.room("tea"), Room)
