"""Redis as a broker: what is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
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
        assert keys == {"chat:room:tea", "chat:members:tea", f"chat:alive:{one.app.hub.origin}"}
        assert 0 < await client.ttl("chat:room:tea") <= 100
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


@pytest.mark.parametrize("query", ["retain=0", "ttl=1", "nothing=1"])
def test_its_url_is_checked(query: str) -> None:
    with pytest.raises(OptionError, match=query.partition("=")[0]):
        redis_backplane(f"redis://127.0.0.1:1?{query}")


def test_what_redis_py_may_be_told_stays_in_the_url() -> None:
    url = "rediss://127.0.0.1:1?ssl_cert_reqs=none&db=3&retain=5"
    assert redis_backplane(url).status.url.startswith("rediss://127.0.0.1:1")
