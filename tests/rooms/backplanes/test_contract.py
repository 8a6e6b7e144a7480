"""What every backplane promises, on the real brokers: once, in order, through their deaths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import wsext
from tests import brokers
from wsext import App, Membership, RemoteBackplane, Room, RoomOptions, Session


@pytest.fixture(params=["memory", *brokers.KINDS])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker | None]:
    if request.param == "memory":
        yield None
        return
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


@pytest.fixture(params=brokers.KINDS)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(request.param, tmp_path) as broker:
        yield broker


class Process:
    """An app with its own hub, as another process would have one, and sessions of it.

    ``/ROOM`` joins; whatever a client sends is broadcast.
    """

    def __init__(self, url: str) -> None:
        self.app = App(backplane=url, rooms=RoomOptions(history=100))
        self.joined: asyncio.Queue[Membership] = asyncio.Queue()

        @self.app.websocket("/<room>")
        async def chat(session: Session, room: str) -> None:
            session.name = session.request.query.get("name", "x")
            history = int(session.request.query.get("history", "0"))
            async with self.app.room(room).join(session, history=history) as members:
                self.joined.put_nowait(members)
                async for message in session:
                    await members.broadcast(message)


@asynccontextmanager
async def processes(url: str | None, count: int) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        made = [Process(url or "memory://tests") for _ in range(count)]
        for process in made:
            server = await stack.enter_async_context(wsext.serve(process.app))
            process.url = server.url  # type: ignore[attr-defined]
        yield made


class Client:
    """A session that has joined."""

    def __init__(self, session: Session, members: Membership) -> None:
        self.session = session
        self.members = members

    async def receive(self, count: int) -> list[str]:
        async with asyncio.timeout(20):
            return [str(await self.session.receive()) for _ in range(count)]


@asynccontextmanager
async def joined(process: Process, path: str) -> AsyncIterator[Client]:
    url = process.url  # type: ignore[attr-defined]
    async with wsext.connect(f"{url}/{path}") as session:
        yield Client(session, await process.joined.get())


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.01)


def away(process: Process) -> bool:
    return not process.app.hub.status.connected


def back(process: Process) -> bool:
    return process.app.hub.status.connected


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


async def test_members_of_a_process_without_a_sign_of_life_are_gone(
    remote: brokers.Broker,
) -> None:
    async with (
        processes(remote.url, 2) as (one, two),
        joined(one, "tea?name=Ada") as ada,
        joined(two, "tea?name=Bob"),
    ):
        assert len(await ada.members.presence()) == 2
        plane = two.app.hub.backplane
        assert isinstance(plane, RemoteBackplane)
        await plane._broker.beat(two.app.hub.origin, 0)  # as time would do it to a dead process
        assert [member.name for member in await ada.members.presence()] == ["Ada"]


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


@pytest.mark.parametrize("remote", ["nats"], indirect=True)
async def test_a_message_the_broker_does_not_take_is_refused_to_the_sender(
    remote: brokers.Broker,
) -> None:
    async with processes(remote.url, 1) as (one,), joined(one, "tea") as a:
        with pytest.raises(ValueError, match=r"too large for nats://127\.0\.0\.1"):
            await a.members.broadcast(b"x" * (1 << 20))
        await a.members.broadcast("next")
        assert await a.receive(1) == ["next"]


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
