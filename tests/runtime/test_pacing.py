"""A session that needs fresh data stays close to what its peer has read, at no other cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.codecs import Gated
from tests.resuming import Pair
from tests.waiting import until
from wsext import App, Frame, Listener, Session, WebSocketOptions, testing
from wsext.runtime.life import life_of
from wsext.runtime.pacing import NEVER

#: Networks that take everything at once, as those with large buffers do.
NEAR = testing.Conditions(capacity=1 << 22)
FAR = testing.Conditions(capacity=1 << 22, latency=(0.1, 0.1))

PING, PONG, CLOSE = 9, 10, 8


def room_app(**options: Any) -> tuple[App, list[Session]]:
    """An app with a room that coalesces, and the sessions that are in it."""
    app = App(options=WebSocketOptions(**options))
    sessions: list[Session] = []

    @app.websocket("/")
    async def join(session: Session) -> None:
        async with app.room("prices").join(session, overflow="coalesce", queue_bytes=1 << 22):
            sessions.append(session)
            async for _ in session:
                pass

    return app, sessions


def update(number: int = 0) -> str:
    """A message of 100 bytes that knows when it was said."""
    return json.dumps({"at": asyncio.get_running_loop().time(), "number": number}).ljust(100)


def age(message: Any) -> float:
    at: float = json.loads(message)["at"]
    return asyncio.get_running_loop().time() - at


async def say(app: App, rate: int, seconds: float, keys: int) -> None:
    """Updates of some keys, with pauses of 10 ms."""
    number = 0
    for _ in range(round(seconds * 100)):
        for _ in range(rate // 100):
            app.room("prices").broadcast_nowait(update(number), key=number % keys)
            number += 1
        await asyncio.sleep(0.01)


def answer(peer: testing.RawPeer, ping: Frame) -> None:
    peer.send_frame(Frame(PONG, bytes(ping.payload)))


async def next_message(peer: testing.RawPeer, *, answers: bool = True) -> Frame:
    """The next frame that is no ping; pings are answered where they stand, as libraries do."""
    while True:
        frame = await peer.receive_frame()
        assert frame is not None, "the connection has ended"
        if frame.opcode != PING:
            return frame
        if answers:
            answer(peer, frame)


def in_a_world(scenario: Callable[[testing.World], Any]) -> None:
    """Run a scenario; it fails if a timer, a task or a session is left over."""
    testing.simulate(scenario, 1, weather=testing.calm)


# --- slow and fast peers --------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [100, 200, 500])
def test_a_slow_reader_gets_fresh_data(rate: int) -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.raw_peer(server, conditions=NEAR) as peer:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 1000, 30, keys=20))
            ages = []
            while not saying.done():
                ages.append(age(bytes((await next_message(peer)).payload)))
                await asyncio.sleep(1 / rate)
        assert len(ages) > 25 * rate
        assert max(ages[rate:]) <= 0.2  # the first second is for finding out

    in_a_world(scenario)


def test_a_reader_that_becomes_slow_gets_fresh_data_soon_again() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        loop = asyncio.get_running_loop()
        async with world.raw_peer(server, conditions=NEAR) as peer:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 1000, 20, keys=20))
            began = loop.time()
            ages: dict[bool, list[float]] = {False: [], True: []}
            while not saying.done():
                is_slow = loop.time() - began > 10
                ages[is_slow].append(age(bytes((await next_message(peer)).payload)))
                if is_slow:
                    await asyncio.sleep(1 / 200)
        assert len(ages[False]) >= 9900
        assert max(ages[True]) <= 1.2
        assert max(ages[True][400:]) <= 0.2  # two seconds later

    in_a_world(scenario)


def test_a_fast_peer_gets_few_markers() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.connect(server, conditions=NEAR) as client:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 1000, 20, keys=1 << 30))
            for _ in range(20_000):
                await client.receive()
            await saying
            assert life_of(client).link.connection.pings_in <= 20 * 11

    in_a_world(scenario)


def test_a_peer_that_is_far_away_and_fast_gets_everything() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.connect(server, conditions=FAR) as client:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 4000, 12, keys=1 << 30))
            ages = [age(await client.receive()) for _ in range(4000 * 12)]
            await saying
        assert max(ages[4000 * 5 :]) <= 0.3  # of which the way takes 0.1

    in_a_world(scenario)


def test_a_peer_whose_way_becomes_longer_gets_everything_again() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.connect(server, conditions=NEAR) as client:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 1000, 60, keys=1 << 30))
            ages = [age(await client.receive()) for _ in range(10_000)]
            world.connections[0].conditions = FAR
            ages += [age(await client.receive()) for _ in range(50_000)]
            await saying
        assert max(ages[:10_000]) <= 0.05
        assert max(ages[40_000:]) <= 0.3

    in_a_world(scenario)


def test_markers_are_few() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.connect(server, conditions=NEAR) as client:
            await until(lambda: bool(sessions))
            saying = asyncio.create_task(say(app, 20_000, 4, keys=1 << 30))
            for _ in range(80_000):
                await client.receive()
            await saying
            assert life_of(client).link.connection.pings_in <= 4 * 20 + 20

    in_a_world(scenario)


def test_markers_and_pings_of_the_application_do_not_meet() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.raw_peer(server, conditions=NEAR) as peer:
            await until(lambda: bool(sessions))
            pings = []
            for number in range(1, 40):  # the payloads that wsext would choose next
                task = asyncio.create_task(sessions[0].ping(number.to_bytes(4, "big")))
                pings.append(task)
            for number in range(500):
                app.room("prices").broadcast_nowait(update(number), key=number)
                await asyncio.sleep(0.001)
            pings.append(asyncio.create_task(sessions[0].ping()))
            for _ in range(500):
                await next_message(peer)
            await asyncio.gather(*pings)

    in_a_world(scenario)


def test_a_session_of_a_room_that_closes_slow_members_is_not_paced() -> None:
    async def scenario(world: testing.World) -> None:
        app = App()

        @app.websocket("/")
        async def join(session: Session) -> None:
            async with app.room("chat").join(session, overflow="close"):
                async for message in session:
                    await session.send(message)

        server = await world.serve(app)
        async with world.raw_peer(server, conditions=NEAR) as peer:
            for _ in range(1000):
                peer.send_frame(Frame(1, b"x" * 100))
            for _ in range(1000):
                frame = await peer.receive_frame()
                assert frame is not None
                assert frame.opcode == 1

    in_a_world(scenario)


# --- pongs that do not come -----------------------------------------------------------------------


def test_a_peer_that_answers_no_pings_is_not_starved() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        loop = asyncio.get_running_loop()
        async with world.raw_peer(server, conditions=NEAR) as peer:
            await until(lambda: bool(sessions))
            began = loop.time()
            for number in range(2000):
                app.room("prices").broadcast_nowait(update(number), key=number)
            for _ in range(2000):
                await next_message(peer, answers=False)
            assert loop.time() - began <= 1.1
            assert life_of(sessions[0]).link.free_until == NEVER

    in_a_world(scenario)


def test_a_peer_that_answers_late_is_paced_from_then_on() -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        server = await world.serve(app)
        async with world.raw_peer(server, conditions=NEAR) as peer:
            await until(lambda: bool(sessions))
            ping = None
            for number in range(2000):
                app.room("prices").broadcast_nowait(update(number), key=number)
            for _ in range(2000):
                frame = await peer.receive_frame()
                assert frame is not None
                if frame.opcode == PING:
                    ping = frame
            assert ping is not None
            answer(peer, ping)
            link = life_of(sessions[0]).link
            await until(lambda: link.free_until < NEVER)
            for number in range(2000):
                app.room("prices").broadcast_nowait(update(number), key=number)
            assert sessions[0].buffered_amount > 100_000

    in_a_world(scenario)


async def talk(client: Session, count: int) -> None:
    """Send so many messages, and receive as many meanwhile."""

    async def send() -> None:
        for _ in range(count):
            await client.send("x" * 1000)

    sending = client.create_task(send())
    async with asyncio.timeout(60):
        for _ in range(count):
            await client.receive()
    await sending


def test_nobody_waits_for_a_pong_that_stands_behind_unread_messages() -> None:
    async def scenario(world: testing.World) -> None:
        app = App(options=WebSocketOptions(incoming_capacity=4))

        @app.websocket("/")
        async def echo(session: Session) -> None:
            async with app.room("prices").join(session, overflow="coalesce"):
                async for message in session:
                    await session.send(message)

        server = await world.serve(app)
        async with world.connect(server, conditions=FAR) as client:
            await talk(client, 200)

    in_a_world(scenario)


def test_a_listener_answers_all_that_comes() -> None:
    async def scenario(world: testing.World) -> None:
        app = App()

        @app.websocket("/")
        class Echo(Listener):
            def on_open(self, session: Session) -> None:
                app.room("prices").join_nowait(session, overflow="coalesce")

            def on_message(self, session: Session, message: str | bytes) -> None:
                session.send_nowait(message)

        server = await world.serve(app)
        async with world.connect(server, conditions=FAR) as client:
            await talk(client, 500)

    in_a_world(scenario)


# --- the end, and another connection --------------------------------------------------------------


@pytest.mark.parametrize("extensions", [[], [Gated.name]], ids=["plain", "asynchronous codec"])
def test_closing_waits_for_no_pong(extensions: list[str]) -> None:
    async def scenario(world: testing.World) -> None:
        app, sessions = room_app()
        if extensions:
            app.install(Gated())
        server = await world.serve(app)
        loop = asyncio.get_running_loop()
        offer = ", ".join(extensions) or None
        async with world.raw_peer(server, conditions=NEAR, extensions=offer) as peer:
            await until(lambda: bool(sessions))
            app.room("prices").broadcast_nowait(update())
            app.room("prices").broadcast_nowait(update())
            await next_message(peer)
            await next_message(peer)  # a ping has been answered
            for number in range(1000):
                app.room("prices").broadcast_nowait(update(number), key=number)
            await asyncio.sleep(1)
            assert sessions[0].buffered_amount > 50_000
            began = loop.time()
            closing = asyncio.create_task(sessions[0].close())
            count = 0
            while (await next_message(peer, answers=False)).opcode != CLOSE:
                count += 1
            assert count == 1000
            assert loop.time() - began <= 0.1
            peer.send_frame(Frame(CLOSE, b"\x03\xe8"))
            await closing

    in_a_world(scenario)


async def test_each_connection_of_a_session_has_a_pace_of_its_own() -> None:
    """What the first one's peer never confirmed holds nothing back on the second one."""
    pair = Pair()
    life_of(pair.server).link.keep_fresh()
    pair.wire.client.pause_reading()  # and so it answers no marker
    updates = [update(number) for number in range(300)]
    for each in updates:
        pair.server.send_nowait(each)
    held = pair.server.buffered_amount
    assert held > 10_000
    await pair.cut()
    markers = 0

    def count(direction: str, stage: str, frame: Frame) -> None:
        nonlocal markers
        markers += (direction, stage, frame.opcode) == ("out", "wire", PING)

    pair.resume()
    pair.server.trace(count)
    assert [await pair.client.receive() for _ in updates] == updates
    assert markers
    assert pair.server.buffered_amount == 0
    await pair.close()
