"""NATS as a broker: what is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
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


@pytest.mark.parametrize("query", ["storage=paper", "retain=0", "nothing=1"])
def test_its_url_is_checked(query: str) -> None:
    with pytest.raises(OptionError, match=query.partition("=")[0]):
        nats_backplane(f"nats://127.0.0.1:1?{query}")
