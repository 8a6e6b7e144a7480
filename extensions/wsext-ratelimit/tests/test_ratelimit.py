"""The rate limit, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsext_ratelimit import Bucket, RateLimit

from wsext import App, Frame, OptionError, testing


class TestRateLimit(testing.InterceptorSuite):
    extension = RateLimit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def limited(**options: Any) -> tuple[RateLimit, Clock]:
    one, clock = RateLimit(**options), Clock()
    one.clock = clock  # type: ignore[method-assign]
    return one, clock


@given(
    rate=st.floats(0.5, 1000),
    burst=st.floats(0.01, 10),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 50)), max_size=30),
)
def test_no_more_than_rate_and_burst_pass_without_waiting(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket = Bucket(rate, burst, 0.0)
    now = passed = 0.0
    for later, amount in steps:
        now += later
        if bucket.take(amount, now) == 0.0:
            passed += amount
        else:
            bucket.give_back(amount)
        assert passed <= max(rate * burst, 1) + rate * now + 1e-6


async def test_close_ends_with_1008() -> None:
    one, _ = limited(messages=5, burst=1)
    async with testing.pair([one], client=[]) as (client, server):
        for number in range(10):
            client.send_nowait(str(number))
        info = await client.wait_closed()
        assert info.remote == (1008, "too many messages or bytes")
        assert [await server.receive() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        assert one.closed == 1


async def test_drop_loses_whole_messages_and_time_brings_tokens_back() -> None:
    one, clock = limited(messages=2, burst=1, verdict="drop")
    async with testing.pair([one], client=[]) as (client, server):
        await client.send("a")
        await client.send("b")
        await client.send_frame(Frame(1, b"lo", False))
        await client.send_frame(Frame(9, b"in between"))
        await client.send_frame(Frame(0, b"st"))
        await client.ping()
        clock.now += 1
        await client.send("c")
        assert [await server.receive() for _ in range(3)] == ["a", "b", "c"]
        assert one.dropped == 1


async def test_bytes_count_too() -> None:
    one, clock = limited(messages=None, bytes=100, burst=1, verdict="drop")
    async with testing.pair([one], client=[]) as (client, server):
        await client.send("x" * 90)
        await client.send("y" * 20)
        await client.send("z" * 10)
        assert await server.receive() == "x" * 90
        assert await server.receive() == "z" * 10
        clock.now += 5
        await client.send("w" * 100)
        assert await server.receive() == "w" * 100


async def test_delay_reads_slower_and_loses_nothing() -> None:
    one, _ = limited(messages=10, burst=1, verdict="delay")
    async with testing.pair([one], client=[]) as (client, server):
        for number in range(15):
            await client.send(str(number))
        await client.clock.advance(0.01)
        first = server.stats.messages_in
        assert first >= 10
        await client.send("after the debt")
        await client.clock.advance(0.1)
        assert server.stats.messages_in == first
        await client.clock.advance(2)
        got = [await server.receive() for _ in range(16)]
        assert got[-1] == "after the debt"


async def test_sessions_have_limits_of_their_own() -> None:
    one, _ = limited(messages=1, burst=1, verdict="drop")
    app = App()
    app.install(one)

    @app.websocket("/")
    async def echo(session: Any) -> None:
        async for message in session:
            await session.send(message)

    async with testing.connect(app) as first, testing.connect(app) as second:
        for session in (first, second):
            await session.send("mine")
            assert await session.receive() == "mine"


def test_wrong_options() -> None:
    with pytest.raises(OptionError, match="ratelimit: verdict"):
        RateLimit(verdict="shout")
    with pytest.raises(OptionError, match="messages"):
        RateLimit(messages=0)
