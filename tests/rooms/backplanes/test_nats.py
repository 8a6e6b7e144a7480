"""NATS as a broker: what is its own."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import nats
import pytest
from nats.aio.client import Client

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
from tests.rooms.backplanes.test_redis import GARBAGE
from tests.waiting import until
from wsext import OptionError
from wsext.rooms.backplanes.nats import nats_backplane


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("nats", tmp_path) as broker:
        yield broker


async def test_a_message_the_broker_does_not_take_is_refused_to_the_sender(
    broker: brokers.Broker,
) -> None:
    async with processes(broker.url, 1) as (one,), joined(one, "tea") as a:
        with pytest.raises(ValueError, match=r"too large for nats://127\.0\.0\.1"):
            await a.members.broadcast(b"x" * (1 << 20))
        await a.members.broadcast("next")
        assert await a.receive(1) == ["next"]


async def test_a_message_that_was_too_large_for_a_broker_that_was_away_blocks_nothing(
    broker: brokers.Broker,
) -> None:
    broker.kill()
    async with processes(broker.url, 2) as (one, two):
        await one.app.room("tea").broadcast(b"x" * (1 << 21))
        await one.app.room("tea").broadcast("next")
        broker.start()
        await until(lambda: one.app.hub.status.connected and two.app.hub.status.connected)
        async with joined(two, "tea?history=1") as b:
            assert await b.receive(1) == ["next"]
        assert one.app.hub.status.dropped == 1


async def test_a_room_may_have_any_name(broker: brokers.Broker) -> None:
    """Subjects of NATS have an alphabet of their own: dots, stars and spaces mean something."""
    async with processes(broker.url, 2) as (one, two):
        for name in ("a.b", "*", ">", "two words", "Tee ü 茶"):
            path = quote(name, safe="")
            async with joined(one, path) as a, joined(two, path) as b:
                await a.session.send(name)
                assert await b.receive(1) == [name]
                assert len(await b.members.presence()) == 2


async def test_a_stream_that_is_there_keeps_the_settings_of_whoever_made_it(
    broker: brokers.Broker,
) -> None:
    async with processes(broker.url, 1) as (one,), joined(one, "tea") as a:
        await a.session.send("kept")
        assert await a.receive(1) == ["kept"]
        async with (
            processes(f"{broker.url}&retain=7", 1) as (two,),
            joined(two, "tea?history=1") as b,
        ):
            assert await b.receive(1) == ["kept"]


@pytest.fixture
async def client(broker: brokers.Broker) -> AsyncIterator[Client]:
    client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
    yield client
    await client.close()


async def test_messages_and_notes_that_cannot_be_read_are_left_out(
    broker: brokers.Broker, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    tea = urlsafe_b64encode(b"tea").decode().rstrip("=")
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        await a.session.send("before")
        assert await b.receive(1) == ["before"]
        for garbage in GARBAGE:
            await client.publish(f"wsext.room.{tea}", garbage)
            await client.publish(f"wsext.note.{tea}", garbage)
        await client.flush()
        await a.session.send("after")
        assert await b.receive(1) == ["after"]
        async with joined(two, "tea?history=5") as late:
            assert await late.receive(2) == ["before", "after"]
        for process in (one, two):
            status = process.app.hub.status
            await until(
                lambda status=status: status.unreadable >= 2 * len(GARBAGE) - 1
            )  # one is stored twice
            assert status.reconnects == 0
    assert caplog.text.count("cannot be read") <= 4


async def test_members_that_cannot_be_read_are_left_out(
    broker: brokers.Broker, client: Client
) -> None:
    tea = urlsafe_b64encode(b"tea").decode().rstrip("=")
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea?name=Ada") as ada,
        joined(two, "tea?name=Bob"),
    ):
        origin = two.app.hub.origin
        for number, garbage in enumerate(GARBAGE):
            await client.publish(f"$KV.wsext-members.{tea}.{origin}.{number}", garbage)
        for name in ("nobody", "nobody.s1", "*/\\$", "a.b.c.d.e"):
            await client.publish(f"$KV.wsext-members.{tea}.{name}", b"\x92\xa1a\xa1b")
            await client.publish(f"$KV.wsext-alive.{name}x", b"")
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        for name in (f"members.{tea}.".encode() + b"\xff\xfe", b"alive.\xff\xfe"):
            writer.write(b"PUB $KV.wsext-" + name + b" 1\r\nx\r\n")  # nats-py cannot say it
        writer.write(b"PING\r\n")
        while await reader.readline() != b"PONG\r\n":
            pass
        writer.close()
        await client.flush()
        names = [member.name for member in await ada.members.presence()]
        assert names == ["Ada", "Bob"]
        status = one.app.hub.status
        assert status.reconnects == 0
        assert len(GARBAGE) <= status.unreadable <= len(GARBAGE) + 1


@pytest.mark.parametrize("query", ["storage=paper", "retain=0", "nothing=1"])
def test_its_url_is_checked(query: str) -> None:
    with pytest.raises(OptionError, match=query.partition("=")[0]):
        nats_backplane(f"nats://127.0.0.1:1?{query}")


async def test_only_our_own_subjects_are_rooms(broker: brokers.Broker, client: Client) -> None:
    async with (
        processes(broker.url, 1) as (one,),
        joined(one, "only:members"),
        joined(one, "tea") as tea,
    ):
        await tea.session.send("hello")
        await tea.receive(1)
        await one.app.hub.flush()
        js = client.jetstream()
        for token in ("%%%", "_w", "dGVh"):  # no base64, no UTF-8, a second time "tea"
            await js.publish(f"wsext.room.{token}", b"")
            await client.publish(f"$KV.wsext-members.{token}.nobody.s1", b"")
        await client.flush()
        assert sorted(await one.app.hub.backplane.rooms(10)) == ["only:members", "tea"]
        assert len(await one.app.hub.backplane.rooms(1)) == 1
