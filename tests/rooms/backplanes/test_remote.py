"""Reconnection over any broker: once, in order, through their deaths, on the real ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
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


async def test_a_broker_that_stalls_holds_nobody_up(remote: brokers.Broker) -> None:
    async with (
        processes(remote.url + "&timeout=0.5", 2) as (one, two),
        joined(one, "tea") as a,
        joined(one, "tea") as b,
        joined(two, "tea") as c,
    ):
        remote.stall()
        try:
            async with asyncio.timeout(10):
                await a.session.send("local")
                assert await b.receive(1) == ["local"]
                assert len(await a.members.presence()) == 2
                async with joined(one, "coffee") as other:
                    await other.session.send("another room")
                    assert await other.receive(1) == ["another room"]
                await until(lambda: away(one))
        finally:
            remote.go_on()
        assert await c.receive(1) == ["local"]
        await until(lambda: back(one))
        await c.session.send("together")
        assert await b.receive(1) == ["together"]


class Impostor:
    """Listens where a broker should, and says what a test wants it to say to everybody."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.asked = 0
        self.enough = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.asked == 5:
            self.enough.set()
        writer.write(self.says)
        with suppress(ConnectionError):
            await writer.drain()
            writer.close()


@pytest.mark.parametrize("scheme", ["redis", "nats"])
@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"\x00\x1b[31m\r\n" * 100,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$99\r\ncut off",
        b"*-5\r\n$-9\r\n:abc\r\n",
        b"-ERR " + b"secret" * 100 + b"\r\n",
        b"INFO {not json}\r\n",
        b'INFO {"max_payload": "many"}\r\nPONG\r\nMSG a b c\r\n',
        b"\xff" * 100_000,
    ],
    ids=range(9),
)
async def test_a_broker_that_answers_garbage_is_away(
    scheme: str, says: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    impostor = Impostor(says)
    async with await asyncio.start_server(impostor.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"{scheme}://127.0.0.1:{port}?timeout=0.5&max_backoff=0.1"
        async with processes(url, 1) as (one,), joined(one, "tea") as a, joined(one, "tea") as b:
            await impostor.enough.wait()
            await a.session.send("local")
            assert await b.receive(1) == ["local"]
            assert len(await a.members.presence()) == 2
            assert away(one)
    lines = [r for r in caplog.records if r.name.startswith("wsext") and r.levelno > logging.INFO]
    assert len(lines) == 1
    assert not [line for line in lines if line.exc_info]
    assert "\x1b" not in caplog.text
    assert len(lines[0].getMessage()) < 400


class Cutting:
    """Stands between a process and its broker, and ends a connection in the middle of a message.

    Args:
        port: Where the broker is.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.left: int | None = None
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, to_there, cuts=False))
                group.create_task(self._pass_on(there, writer, cuts=True))
        except* ConnectionError:
            pass
        finally:
            writer.close()
            to_there.close()

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, cuts: bool
    ) -> None:
        while data := await source.read(4096):
            if cuts and self.left is not None:
                data, self.left = data[: self.left], self.left - len(data)
                if self.left <= 0:
                    self.left, self.cuts = None, self.cuts + 1
                    target.write(data)
                    await target.drain()
                    raise ConnectionResetError
            target.write(data)
            await target.drain()
        raise ConnectionResetError


async def test_a_connection_that_ends_within_a_message_loses_and_doubles_nothing(
    remote: brokers.Broker,
) -> None:
    cutting = Cutting(remote.port)
    async with await asyncio.start_server(cutting.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = remote.url.replace(f":{remote.port}", f":{port}")
        async with (
            processes(url, 1) as (one,),
            processes(remote.url, 1) as (two,),
            joined(one, "tea") as a,
            joined(two, "tea") as b,
        ):
            for number in range(5):
                cutting.left = 50_000
                await b.session.send(f"{number}" + "x" * 100_000)
                assert (await a.receive(1))[0][0] == str(number)
                await a.session.send(f"back {number}")
                assert (await a.receive(1)) == [f"back {number}"]
            got = [text for text in await b.receive(10) if text.startswith("back")]
            assert got == [f"back {number}" for number in range(5)]
            assert cutting.cuts == one.app.hub.status.reconnects == 5


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
