"""What is sent: cancelled, by policies, in fragments, and through asynchronous codecs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

import wsext
from tests.codecs import Counting, CountingCodec, History
from tests.trio.peers import on_trio, run
from wsext import ConnectionClosed, Frame, WebSocketOptions
from wsext.testing.on_trio import pair

lockstep = trio.testing.lockstep_stream_pair

#: Few bytes may wait, and pings do not disturb.
SMALL = WebSocketOptions(outgoing_bytes=1024, ping_interval=None, write_timeout=None)


class _SlowCodec(CountingCodec):
    key = None

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        await trio.sleep(1)
        return frame


class Slow(Counting):
    """Takes a second for every frame that it encodes."""

    name = "x-slow"
    codec = _SlowCodec


async def fill(session: Any) -> int:
    """Send until nothing more is taken; how many messages were."""
    sent = 0
    with trio.move_on_after(0.5):
        while True:
            await session.send(b"%03d" % sent + bytes(500))
            sent += 1
    return sent


async def numbers(session: Any) -> list[int]:
    """The numbers of all messages that come until the end."""
    got = []
    try:
        while True:
            got.append(int((await session.receive())[:3]))
    except ConnectionClosed:
        return got


def paused(what: Callable[[Any, Any], Any], **options: Any) -> None:
    """Run something with a client and a server that has not read anything yet."""

    async def scenario() -> None:
        held = WebSocketOptions(incoming_capacity=1, ping_interval=None)
        small = SMALL.replace(options)
        async with pair(app_options=held, client_options=small, make=lockstep) as (client, server):
            await what(client, server)

    run(scenario)


def test_a_cancelled_send_is_sent_whole_or_not_at_all() -> None:
    async def check(client: Any, server: Any) -> None:
        sent = await fill(client)
        assert 2 < sent < 20
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close)
            assert await numbers(server) == list(range(sent))

    paused(check)


@pytest.mark.parametrize("extension", [History, Slow])
@on_trio
async def test_cancelling_leaves_both_sides_in_the_same_state(extension: Any) -> None:
    one = extension()
    async with pair([one], client_options=SMALL) as (client, server):
        expected = []
        for number in range(20):
            with trio.move_on_after(0.3 if number % 2 else 100):
                await client.send(f"message {number}")
                expected.append(f"message {number}")
        await client.send("last")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close)
            got = [message async for message in server]
        assert got[-1] == "last"
        assert set(expected) <= {*got}
        assert got[:-1] == sorted(got[:-1], key=lambda text: int(text.split()[1]))
        assert client.close_info.clean


def test_send_nowait_is_refused_when_too_much_waits() -> None:
    async def check(client: Any, server: Any) -> None:
        def flood() -> None:
            for _ in range(100):
                client.send_nowait(bytes(500))

        with pytest.raises(wsext.QueueFull, match="bytes wait for the peer to read"):
            flood()
        assert client.is_open

    paused(check)


def test_the_policy_close_ends_the_session_with_1013() -> None:
    async def check(client: Any, server: Any) -> None:
        async def flood() -> None:
            for number in range(100):
                await client.send(b"%03d" % number + bytes(500))

        with pytest.raises(wsext.LocalProtocolError, match="reads too slowly"):
            await flood()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(numbers, server)
            assert (await client.wait_closed()).code == 1013

    paused(check, outgoing_overflow="close")


def test_the_policy_drop_oldest_keeps_the_newest() -> None:
    async def check(client: Any, server: Any) -> None:
        for number in range(50):
            await client.send(b"%03d" % number + bytes(500))
        assert client.stats.dropped_out > 30
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close)
            got = await numbers(server)
        assert got[-1] == 49
        assert got == sorted(got)
        assert len(got) == 50 - client.stats.dropped_out

    paused(check, outgoing_overflow="drop-oldest")


async def halves(gate: trio.Event) -> AsyncIterator[str]:
    yield "one "
    await gate.wait()
    yield "two"


@on_trio
async def test_other_messages_wait_for_a_streamed_one_and_pings_do_not() -> None:
    async with pair() as (client, server), trio.open_nursery() as nursery:
        gate = trio.Event()
        nursery.start_soon(client.send, halves(gate))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(client.send, "after it")
        await client.ping()
        gate.set()
        assert [await server.receive(), await server.receive()] == ["one two", "after it"]


@on_trio
async def test_a_streamed_message_that_is_cancelled_half_way_fails_the_connection() -> None:
    async with pair() as (client, server):
        with trio.move_on_after(1):
            await client.send(halves(trio.Event()))
        info = await server.wait_closed()
        assert (info.code, info.reason) == (1011, "message was not finished")


@on_trio
async def test_a_close_does_not_wait_for_a_streamed_message() -> None:
    async with pair() as (client, server), trio.open_nursery() as nursery:
        gate = trio.Event()

        async def stream() -> None:
            with pytest.raises(ConnectionClosed):
                await client.send(halves(gate))

        nursery.start_soon(stream)
        await trio.testing.wait_all_tasks_blocked()
        await client.close()
        gate.set()
        assert (await server.wait_closed()).clean
        assert trio.current_time() == 0


@on_trio
async def test_an_asynchronous_codec_keeps_the_order_and_the_close_comes_last() -> None:
    async with pair([Slow()]) as (client, server):
        for number in range(5):
            client.send_nowait(str(number))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close)
            assert [message async for message in server] == list("01234")
        assert trio.current_time() == pytest.approx(5)


@on_trio
async def test_a_codec_that_takes_too_long_fails_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = WebSocketOptions(codec_timeout=0.5)
    async with pair([Slow()], client_options=options) as (client, server):
        with pytest.raises(wsext.ProtocolError):
            await client.send("slow")
        assert (await server.wait_closed()).code == 1011
    assert "codec_timeout" in caplog.text


@on_trio
async def test_pongs_leave_while_a_codec_works() -> None:
    async with pair([Slow()]) as (client, server):
        client.send_nowait("slow")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await server.ping()
        assert trio.current_time() == began


def test_who_waits_to_send_learns_of_the_end() -> None:
    async def check(client: Any, server: Any) -> None:
        ends: list[BaseException] = []

        async def send() -> None:
            try:
                while True:
                    await client.send(bytes(500))
            except ConnectionClosed as error:
                ends.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            client.abort()
        assert len(ends) == 3

    paused(check)


def test_flush_waits_until_the_stream_has_everything() -> None:
    async def check(client: Any, server: Any) -> None:
        await fill(client)
        assert client.buffered_amount > 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(numbers, server)
            await client.flush()
            assert client.buffered_amount == 0
            await client.close()

    paused(check)


@pytest.mark.parametrize("seed", range(6))
@on_trio
async def test_random_cancellations_leave_whole_messages_in_order(seed: int) -> None:
    """Several tasks send, and everything is cancelled at any time. What arrives is whole, comes
    once and in each task's order, and nothing is missing whose `send` returned."""
    chance = random.Random(seed)
    small = WebSocketOptions(outgoing_bytes=1024, incoming_capacity=chance.choice([1, 5, 256]))
    make = chance.choice([lockstep, trio.testing.memory_stream_pair])
    got: list[str] = []
    sent: list[str] = []

    async def send(session: Any, who: int) -> None:
        for number in range(12):
            message = f"{who}:{number}:" + "x" * chance.choice([0, 10, 700, 3000])
            with trio.move_on_after(chance.random() / 2) as scope:
                await session.send(message)
            if not scope.cancelled_caught:
                sent.append(message)

    async def receive(session: Any) -> None:
        while not got or got[-1] != "last":
            with trio.move_on_after(chance.random() / 3):
                got.append(await session.receive())

    extension = chance.choice([History(), "permessage-deflate"])
    how: dict[str, Any] = {"app_options": small, "client_options": small, "make": make}
    async with pair([extension], **how) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(receive, server)
        async with trio.open_nursery() as senders:
            for who in range(3):
                senders.start_soon(send, client, who)
        await client.send("last")
    assert client.close_info.clean
    assert {*sent} <= {*got}
    assert len(got) == len({*got})
    for who in "012":
        numbers = [int(text.split(":")[1]) for text in got if text.startswith(f"{who}:")]
        assert numbers == sorted(numbers)
