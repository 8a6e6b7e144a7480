"""Redis as a broker: what is its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
from tests.waiting import until
from wsext import OptionError
from wsext.rooms.backplanes.redis import redis_backplane


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path) as broker:
        yield broker


@pytest.fixture
async def client(broker: brokers.Broker) -> AsyncIterator[Redis]:
    client = Redis(port=broker.port)
    yield client
    await client.aclose()


async def test_keys_are_named_by_the_prefix_and_expire(
    broker: brokers.Broker, client: Redis
) -> None:
    url = f"{broker.url}&prefix=chat&ttl=100"
    async with processes(url, 1) as (one,), joined(one, "tea") as a:
        await a.session.send("hello")
        await a.receive(1)
        await one.app.hub.flush()
        keys = {key.decode() for key in await client.keys()}
        of_tea = {"chat:room:tea", "chat:head:tea", "chat:members:tea"}
        assert keys == {*of_tea, f"chat:alive:{one.app.hub.origin}"}
        assert 0 < await client.ttl("chat:room:tea") <= 100
        assert 100 < await client.ttl("chat:head:tea") <= 200
        assert await client.ttl("chat:members:tea") > 0
    assert await client.keys("chat:alive:*") == []  # the process has said that it has gone


async def test_a_clean_end_leaves_no_member_behind(broker: brokers.Broker, client: Redis) -> None:
    for _ in range(5):
        async with processes(broker.url, 1) as (one,), joined(one, "tea"), joined(one, "tea") as a:
            await a.members.presence()
        assert await client.keys("wsext:members:*") == []


async def test_a_stream_that_began_again_is_read_from_its_beginning(
    broker: brokers.Broker, client: Redis
) -> None:
    """A clock that goes back, or a restored copy: places in the stream are older than before."""
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        await a.session.send("before")
        assert await b.receive(1) == ["before"]
        await a.receive(1)
        broker.kill()
        broker.start()
        await client.delete("wsext:room:tea")
        await client.xadd("wsext:room:tea", {"d": b"of somebody else"}, id="1-1")
        await a.session.send("after")
        assert await b.receive(1) == ["after"]


GARBAGE = [
    b"",
    b"\xc1",
    b"\x93\xa1a\xff\xc4\x00",  # a negative number
    b"\x93\xa1a\xcf" + b"\xff" * 8 + b"\xc4\x00",  # one of 64 bits
    b"\x93\xa0\x01\xc4\x00",  # an origin without a name
    b"\x93\xa1a\x01\xa0",  # text instead of bytes
    b"\x93\xa2\xff\xfe\x01\xc4\x00",  # an origin that is not UTF-8
    b"\x91" * 50_000,
    b"\x93\xa1a\x01\xc4\x02\x91\xa1",  # the payload is cut off
]


async def test_entries_of_a_stream_that_cannot_be_read_are_left_out(
    broker: brokers.Broker, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        await a.session.send("before")
        assert await b.receive(1) == ["before"]
        await client.xadd("wsext:room:tea", {"other": b"field"})
        for garbage in GARBAGE:
            await client.xadd("wsext:room:tea", {"d": garbage})
        broker.kill()
        broker.start()
        await until(lambda: one.app.hub.status.reconnects == two.app.hub.status.reconnects == 1)
        await a.session.send("after")
        assert await b.receive(1) == ["after"]
        async with joined(one, "coffee?history=5") as other, joined(two, "tea?history=5") as late:
            await other.session.send("elsewhere")
            assert await other.receive(1) == ["elsewhere"]
            assert await late.receive(2) == ["before", "after"]
        for process in (one, two):  # each catches up on its own time
            hub = process.app.hub
            await until(lambda hub=hub: hub.status.unreadable >= len(GARBAGE))
            assert hub.status.reconnects == 1
    assert caplog.text.count("cannot be read") <= 4


#: What others may write into the hash of a log's end.
HEADS: list[dict[str, bytes]] = [
    {"number": b"x"},
    {"number": b"-1"},
    {"number": b"1e3"},
    {"number": b"007"},
    {"number": b"99999999999999999999"},
    {"number": b"9" * 5000},
    {"epoch": b"\xff"},
    {"epoch": b""},
    {"epoch": b"e" * 33},
    {"epoch": b"a:b"},
    {"earlier": b"x"},
    {"earlier": b"\xff:1"},
    {"earlier": b"a:1 b:-1"},
    {"earlier": b"a:1 " * 1000},
    {"life": b"\xff"},
]


@pytest.mark.parametrize("recovery", [False, True])
async def test_a_head_that_cannot_be_read_harms_its_own_room_only(
    broker: brokers.Broker, client: Redis, recovery: bool
) -> None:
    async with (
        processes(broker.url, 2, recovery=recovery) as (one, two),
        joined(one, "coffee") as a,
        joined(two, "coffee") as b,
    ):
        statuses = one.app.hub.status, two.app.hub.status
        for at, garbage in enumerate(HEADS, 1):
            async with joined(one, "tea") as c:
                await c.session.send("before")
                await c.receive(1)
                await client.hset("wsext:head:tea", mapping={**garbage})
                broker.kill()
                broker.start()
                await until(lambda at=at: [s.reconnects for s in statuses] == [at, at])
            async with joined(one, "tea") as c, joined(two, "tea") as d:
                for speaker, hearers in ((a, (a, b)), (c, (c, d))):
                    await speaker.session.send(f"hello {at}")
                    for hearer in hearers:
                        assert await hearer.receive(1) == [f"hello {at}"]


@pytest.mark.parametrize("score", [0.5, -3, 1e300, "inf", "-inf"])
async def test_an_id_with_a_number_that_is_none_is_not_known(
    broker: brokers.Broker, client: Redis, score: float
) -> None:
    async with processes(broker.url, 1, recovery=True) as (one,), joined(one, "tea") as a:
        room = one.app.room("tea")
        first = await room.broadcast("first", id="a")
        (name,) = await client.zrange("wsext:ids:tea", 0, -1)
        await client.zadd("wsext:ids:tea", {name: score})
        second = await room.broadcast("second", id="a")
        assert await a.receive(2) == ["first", "second"]
        assert first is not None
        assert second == (first.epoch, first.number + 1)
        assert one.app.hub.status.reconnects == 0


async def test_what_is_published_and_cannot_be_read_costs_no_connection(
    broker: brokers.Broker, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea") as a,
        joined(two, "tea") as b,
    ):
        for place in (b"", b"x", b"1", b"-", b"1-", b"-1-1", b"1-1-1", b"1_0-1", b"9" * 50 + b"-0"):
            for garbage in GARBAGE:
                await client.publish("wsext:live:tea", place + b"|" + garbage)
        await client.publish("wsext:live:tea", b"no mark at all")
        await a.session.send("after")
        assert await b.receive(1) == ["after"]
        for process in (one, two):
            assert process.app.hub.status.reconnects == 0
            assert process.app.hub.status.unreadable >= 9 * len(GARBAGE)
    assert caplog.text.count("cannot be read") <= 4


async def test_members_that_cannot_be_read_are_left_out(
    broker: brokers.Broker, client: Redis
) -> None:
    async with (
        processes(broker.url + "&max_members=50", 2) as (one, two),
        joined(one, "tea?name=Ada") as ada,
        joined(two, "tea?name=Bob"),
    ):
        origin = two.app.hub.origin.encode()
        for number, garbage in enumerate(GARBAGE):
            await client.hset("wsext:members:tea", origin + b".%d" % number, garbage)
        await client.hset("wsext:members:tea", origin + b".\xff\xfe", b"\x92\xa1a\xa1b")
        await client.hset("wsext:members:tea", origin + b".s9", b"\x92\xa3x.y\xa1b")
        await client.hset("wsext:members:tea", b"nobody.s1", b"\x92\xa9nobody.s1\xa1b")
        await client.hset("wsext:members:tea", b"\xff\x00", b"\x92\xa9nobody.s1\xa1b")
        names = [member.name for member in await ada.members.presence()]
        assert names == ["Ada", "Bob"]
        status = one.app.hub.status
        assert (status.reconnects, status.unreadable) == (0, len(GARBAGE) + 2)
        many = {origin + b".x%d" % number: b"" for number in range(1000)}
        await client.hset("wsext:members:tea", mapping=many)
        assert "Ada" in [member.name for member in await ada.members.presence()]
        assert status.unreadable < 200


@pytest.mark.parametrize("kind", ["room", "members"])
async def test_a_key_of_another_type_harms_its_own_room_only(
    kind: str, broker: brokers.Broker, client: Redis
) -> None:
    await client.set(f"wsext:{kind}:tea", "somebody else's")
    async with (
        processes(broker.url, 2) as (one, two),
        joined(one, "tea?history=5") as tea,
        joined(one, "coffee") as a,
        joined(two, "coffee") as b,
    ):
        await tea.session.send("to this process")
        assert await tea.receive(1) == ["to this process"]
        assert [member.name for member in await tea.members.presence()] == ["x"]
        await a.session.send("to both")
        assert await b.receive(1) == ["to both"]
        assert one.app.hub.status.reconnects == 0
        assert one.app.hub.status.unreadable > 0


async def test_a_server_that_takes_no_messages_is_asked_less_and_less_often(
    broker: brokers.Broker, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    url = broker.url.replace("max_backoff=0.2", "max_backoff=5")
    async with processes(url, 1) as (one,), joined(one, "tea") as a:
        await client.execute_command("ACL", "SETUSER", "default", "-evalsha")
        await a.session.send("waits")
        assert await a.receive(1) == ["waits"]
        await until(lambda: one.app.hub.status.reconnects == 4)
        lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(lines) <= 10
        began = asyncio.get_running_loop().time()
        await until(lambda: one.app.hub.status.reconnects == 5)
        assert asyncio.get_running_loop().time() - began > 0.2
        await client.execute_command("ACL", "SETUSER", "default", "+evalsha")
        await until(lambda: one.app.hub.status.connected and not one.app.hub.status.queued)


async def test_large_messages_are_read_in_small_pages(
    broker: brokers.Broker, client: Redis
) -> None:
    """Of a long stream only what a room may keep is read, whoever joins how often."""
    async with processes(broker.url, 1) as (one,):
        async with joined(one, "tea") as a:
            for _ in range(20):
                await a.members.broadcast(b"x" * (1 << 20))
            await one.app.hub.flush()
        before = (await client.info("stats"))["total_net_output_bytes"]
        async with joined(one, "tea?history=20"):
            pass
        read = (await client.info("stats"))["total_net_output_bytes"] - before
        assert read < 8 << 20


@pytest.mark.parametrize("query", ["retain=0", "ttl=1", "nothing=1"])
def test_its_url_is_checked(query: str) -> None:
    with pytest.raises(OptionError, match=query.partition("=")[0]):
        redis_backplane(f"redis://127.0.0.1:1?{query}")


def test_what_redis_py_may_be_told_stays_in_the_url() -> None:
    url = "rediss://127.0.0.1:1?ssl_cert_reqs=none&db=3&retain=5"
    assert redis_backplane(url).status.url.startswith("rediss://127.0.0.1:1")


async def test_only_our_own_keys_are_rooms(broker: brokers.Broker, client: Redis) -> None:
    for key in (
        b"wsext:room:\xff",
        b"wsext:room",
        b"wsext:alive:x",
        b"other:room:x",
        b"wsext2:y:z",
    ):
        await client.set(key, b"")
    async with (
        processes(broker.url, 1) as (one,),
        joined(one, "only:members"),
        joined(one, "tea") as tea,
    ):
        await tea.session.send("hello")
        await tea.receive(1)
        await one.app.hub.flush()
        assert sorted(await one.app.hub.backplane.rooms(10)) == ["only:members", "tea"]
        assert len(await one.app.hub.backplane.rooms(1)) == 1
