"""One connection on a stream: pings, timeouts, backpressure and every way to end."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing

import wsext
from tests.hostile import BAD_FRAMES, DEFLATE
from tests.raw import masked
from tests.trio.peers import on_trio, raw_peer, shaken
from wsext import CloseInfo, ConnectionClosed, WebSocketOptions
from wsext.testing.on_trio import pair

lockstep = trio.testing.lockstep_stream_pair

#: A Close frame of a client.
CLOSE = masked(8, (1000).to_bytes(2, "big"))


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message)


class Told:
    """A handler that only waits, and how its session ended."""

    info: CloseInfo

    async def __call__(self, session: Any) -> None:
        self.info = await session.wait_closed()

    @property
    def handler(self) -> Any:
        async def handle(session: Any) -> None:
            await self(session)

        return handle


#: Without a message in a hundred thousand fragments, which takes a while to read.
SMALL = [case for case in BAD_FRAMES if len(case[0]) < 500_000]


@pytest.mark.parametrize(("data", "code"), SMALL)
@on_trio
async def test_bad_frames_get_their_close_code(
    data: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    options = WebSocketOptions(max_message_size=100_000)
    how: dict[str, Any] = {"options": options, "extensions": ["permessage-deflate"]}
    async with raw_peer(echo, **how) as peer:
        assert "permessage-deflate" in await peer.shake(more=DEFLATE)
        await peer.send(data)
        assert await peer.close_code() == code
        assert await peer.frame() is None  # and then the connection ends
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


@on_trio
async def test_a_peer_that_answers_no_pings_is_gone() -> None:
    told = Told()
    options = WebSocketOptions(ping_interval=20, ping_timeout=10)
    async with shaken(told.handler, options=options) as peer:
        frame = await peer.frame()
        assert frame is not None
        assert frame.opcode == 9
        assert trio.current_time() == pytest.approx(20)
        assert await peer.close_code() == 1011
        assert trio.current_time() == pytest.approx(30)
    assert told.info.code == 1011
    assert isinstance(told.info.exception, wsext.LocalProtocolError)


@on_trio
async def test_sessions_that_answer_pings_stay() -> None:
    async with pair() as (client, server):
        await trio.sleep(600)
        await client.send("still there")
        assert await server.receive() == "still there"
        assert client.stats.frames_in > 20


@on_trio
async def test_pings_are_answered_while_the_program_does_not_read() -> None:
    async def busy(session: Any) -> None:
        await trio.sleep(100)

    async with shaken(busy) as peer:
        await peer.send(masked(1, b"unread") + masked(9, b"p"))
        frame = await peer.frame()
        assert frame is not None
        assert (frame.opcode, frame.payload) == (10, b"p")


@on_trio
async def test_what_came_before_a_close_can_still_be_answered() -> None:
    async with shaken(echo) as peer:
        await peer.send(masked(1, b"a") + masked(1, b"b") + CLOSE)
        frames = [await peer.frame() for _ in range(3)]
        assert [frame and frame.payload for frame in frames] == [b"a", b"b", b"\x03\xe8"]


@on_trio
async def test_a_peer_that_does_not_answer_a_close_is_dropped_after_close_timeout() -> None:
    told = Told()

    async def closing(session: Any) -> None:
        await session.close(4000, "bye")
        await told(session)

    async with shaken(closing, options=WebSocketOptions(close_timeout=7)) as peer:
        assert await peer.close_code() == 4000
        assert await peer.frame() is None
        assert trio.current_time() == pytest.approx(7)
    assert (told.info.local, told.info.remote) == ((4000, "bye"), None)
    assert not told.info.clean


@on_trio
async def test_a_client_waits_for_the_server_to_close_the_stream() -> None:
    options = WebSocketOptions(close_timeout=7)
    async with pair(client_options=options) as (client, _):
        await client.close()
        assert trio.current_time() == 0
        assert client.close_info.clean


@pytest.mark.parametrize("how", ["eof", "drop"])
@on_trio
async def test_a_peer_that_goes_away_is_1006(how: str, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    async with shaken(told.handler) as peer:
        if how == "eof":
            await peer.stream.send_eof()
            assert await peer.frame() is None
        else:
            await trio.aclose_forcefully(peer.stream)
    assert told.info.code == 1006
    assert not [record for record in caplog.records if record.exc_info]


@on_trio
async def test_a_failed_connection_stays_readable_for_a_little() -> None:
    async with shaken(echo) as peer:
        await peer.send(masked(3, b"x"))
        assert await peer.close_code() == 1002
        await peer.send(masked(1, b"ignored"))
        assert await peer.frame() is None
        assert trio.current_time() == 0
        await trio.sleep(3)
        with pytest.raises(trio.BrokenResourceError):
            await peer.send(masked(1, b"nobody reads it"))


@on_trio
async def test_reading_stops_while_the_program_has_enough_and_goes_on() -> None:
    options = WebSocketOptions(incoming_capacity=3, ping_interval=None)
    async with pair(app_options=options, make=lockstep) as (client, server):
        sent = 0
        with trio.move_on_after(1):
            for number in range(100_000):
                await client.send(bytes(1000))
                sent = number
        assert server.stats.waiting_in == 4
        assert sent < 1000  # the rest is held back
        assert client.buffered_amount > 0
        while server.stats.waiting_in or client.buffered_amount:
            await server.receive()
        assert server.stats.messages_in == client.stats.messages_out


@on_trio
async def test_the_close_of_a_peer_is_found_behind_what_nobody_reads() -> None:
    options = WebSocketOptions(incoming_capacity=1, ping_interval=None)
    async with pair(app_options=options) as (client, server):
        for _ in range(10):
            await client.send("x")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close)
            await server.close()
        assert server.close_info.clean
        assert trio.current_time() == 0


@on_trio
async def test_a_peer_that_reads_nothing_is_left_after_write_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()

    async def flood(session: Any) -> None:
        try:
            while True:
                await session.send(bytes(50_000))
        finally:
            told.info = session.close_info

    options = WebSocketOptions(write_timeout=30, ping_interval=None)
    async with shaken(flood, options=options, make=lockstep):
        await trio.sleep(60)
    assert told.info.code == 1013
    assert "write_timeout" in caplog.text


@on_trio
async def test_a_peer_is_refused_for_too_many_pings_and_slowed_down_for_too_many_frames() -> None:
    options = WebSocketOptions(ping_rate=5, ping_interval=None)
    async with shaken(echo, options=options) as peer:
        await peer.send(masked(9) * 100)
        assert await peer.close_code() == 1008
    options = WebSocketOptions(message_rate=10, ping_interval=None)
    async with shaken(echo, options=options) as peer:
        began = trio.current_time()
        await peer.send(masked(1, b"a") * 100)
        await trio.sleep(1.5)  # it was looked at
        await peer.send(masked(1, b"b"))
        while (frame := await peer.frame()) is not None and frame.payload != b"b":
            pass
        assert trio.current_time() - began > 5


@on_trio
async def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read() -> None:
    options = WebSocketOptions(outgoing_bytes=4096, ping_rate=None, ping_interval=None)
    seen: list[Any] = []

    async def hold(session: Any) -> None:
        seen.append(session)
        await session.wait_closed()

    async with shaken(hold, options=options, make=lockstep) as peer:
        for _ in range(50):
            await peer.send(masked(9, b"p" * 125) * 100)
        await trio.testing.wait_all_tasks_blocked()
        assert seen[0].buffered_amount < 64 << 10
        assert seen[0].stats.frames_in == 5000


@on_trio
async def test_abort_drops_the_connection_at_once() -> None:
    async with pair() as (client, server):
        client.abort()
        assert (await client.wait_closed()).code == 1006
        assert (await server.wait_closed()).code == 1006
        with pytest.raises(ConnectionClosed):
            await client.receive()


@on_trio
async def test_what_waits_for_a_pong_learns_of_the_end() -> None:
    async with shaken(echo) as peer:
        ends: list[BaseException] = []

        async def ask(session: Any) -> None:
            try:
                await session.ping()
            except ConnectionClosed as error:
                ends.append(error)

        async with pair() as (client, server), trio.open_nursery() as nursery:
            server.hold_reading(10)
            nursery.start_soon(ask, client)
            await trio.testing.wait_all_tasks_blocked()
            client.abort()
        assert len(ends) == 1
        assert peer.stream
