"""How a session waits for another connection, and how it ends without one."""

from __future__ import annotations

import asyncio

import pytest

from tests.resuming import SOON, Pair, history, received, small, turns
from tests.waiting import until
from wsext import (
    ConnectionClosed,
    Frame,
    WebSocketOptions,
    testing,
)
from wsext.runtime.life import life_of


async def test_a_client_that_comes_back_first_cuts_the_old_connection_off() -> None:
    """What the old one has written and nobody has read yet does not count, and comes again."""
    pair = Pair()
    pair.client.send_nowait("one")
    await turns()
    old = pair.wire
    pair.client.send_nowait("two")
    life_of(pair.client).cut_off()
    pair.resume()
    assert old.server.is_closing()
    assert await received(pair.server, 2) == ["one", "two"]
    await turns()
    assert pair.server.stats.messages_in == 2
    await pair.close()


def test_a_peer_that_is_not_heard_is_cut_off_and_waited_for() -> None:
    async def scenario(world: testing.World) -> None:
        pair = Pair(WebSocketOptions(ping_interval=1, ping_timeout=1))
        pair.wire.client.pause_reading()
        pair.wire.server.pause_reading = lambda: None  # type: ignore[method-assign]
        await until(lambda: not pair.server.connected, every=0.1)
        assert pair.server.is_open
        pair.resume()
        pair.server.send_nowait("goes on")
        assert await received(pair.client, 1) == ["goes on"]
        await pair.close()

    testing.simulate(scenario, 1, weather=testing.calm)


def test_a_session_that_nobody_comes_back_to_ends_with_its_window() -> None:
    async def scenario(world: testing.World) -> None:
        loop = asyncio.get_running_loop()
        pair = Pair(journals=small(window=30))
        pair.server.send_nowait("not taken")
        await turns()
        await pair.cut()
        pair.client.abort()
        pair.server.send_nowait("not sent")
        sending = asyncio.create_task(pair.server.send("its sender is told"))
        pinging = asyncio.create_task(pair.server.ping())
        began = loop.time()
        with pytest.raises(ConnectionClosed, match="no connection for longer"):
            await pair.server.receive()
        assert 30 <= loop.time() - began < 31
        for task in (sending, pinging):
            with pytest.raises(ConnectionClosed):
                await task
        assert pair.server.close_info.code == 1006
        assert pair.server.unconfirmed == ["not taken", "not sent"]
        journal = pair.journals["server"]
        assert (journal.session, journal.is_started) == (None, True)
        with pytest.raises(ConnectionClosed):
            pair.resume()

    testing.simulate(scenario, 1, weather=testing.calm)


def test_a_window_that_was_in_time_ends_nothing() -> None:
    async def scenario(world: testing.World) -> None:
        pair = Pair(journals=small(window=10))
        for _ in range(5):
            await pair.cut()
            await asyncio.sleep(9)
            pair.resume()
        await asyncio.sleep(30)
        assert pair.server.connected
        await pair.close()

    testing.simulate(scenario, 1, weather=testing.calm)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1008, 1011, 4000])
async def test_a_close_frame_of_the_peer_ends_a_session(code: int) -> None:
    for role in ("server", "client"):
        pair = Pair()
        closing, other = pair.server, pair.client
        if role == "client":
            closing, other = other, closing
        closing.close_nowait(code)
        async with asyncio.timeout(SOON):
            assert (await other.wait_closed()).code == code
            assert (await closing.wait_closed()).clean


@pytest.mark.parametrize("code", [1012, 1013])
async def test_a_server_that_goes_away_is_waited_for(code: int) -> None:
    pair = Pair()
    receiving = asyncio.create_task(pair.client.receive())
    pair.server.close_nowait(code)
    async with asyncio.timeout(SOON):
        await pair.server.wait_closed()
        await until(lambda: not pair.client.connected)
    assert pair.client.is_open
    assert pair.client.close_info.remote == (code, "")
    assert not receiving.done()
    pair.client.send_nowait("waits")
    life_of(pair.client).give_up(LookupError("refused"))
    with pytest.raises(ConnectionClosed, match="refused"):
        await receiving
    assert pair.client.unconfirmed == ["waits"]


async def test_an_aborted_session_ends_with_or_without_a_connection() -> None:
    pair = Pair()
    pair.server.abort()
    assert (await pair.server.wait_closed()).code == 1006
    await until(lambda: not pair.client.connected)
    assert pair.client.is_open
    pair.client.abort()
    assert pair.client.close_info.code == 1006
    assert not pair.client.is_open


async def test_a_session_is_closed_by_the_next_connection_after_what_was_said() -> None:
    pair = Pair(codecs=history)
    pair.server.send_nowait("lost")
    await pair.cut()
    pair.server.send_nowait("waits")
    closing = asyncio.create_task(pair.server.close(4001, "done"))
    await turns()
    assert not closing.done()
    with pytest.raises(ConnectionClosed):
        await pair.server.send("too late")
    pair.resume()
    assert await received(pair.client, 2) == ["lost", "waits"]
    async with asyncio.timeout(SOON):
        await closing
        info = await pair.client.wait_closed()
    assert info.remote == (4001, "done")
    assert info.clean
    assert pair.server.unconfirmed == []


async def test_raw_sessions_are_not_kept() -> None:
    """They have frames, not messages; what is acknowledged is forgotten all the same."""
    pair = Pair(journals=small(max_messages=4), raw=True)
    for number in range(10):
        await pair.server.send_frame(Frame(1, b"%d" % number))
        assert await received(pair.client, 1) == [str(number)]
        pair.client.send_nowait("answer")
        assert (await pair.server.receive_frame()).payload == b"answer"
    pair.wire.reset()
    async with asyncio.timeout(SOON):
        assert (await pair.server.wait_closed()).code == 1006
    assert pair.client.is_open
    pair.client.abort()
