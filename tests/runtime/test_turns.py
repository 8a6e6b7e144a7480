"""Turns: nobody decodes for long, who has used little comes first, and what waits has a bound."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

import wsext
from tests.codecs import AsyncInflate, deflated
from tests.lives import compiled, sources
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of
from tests.waiting import at_rest, until
from wsext import App, Held, Listener, ServerOptions, Session
from wsext.runtime.turns import SLICE, turns_of

MS = 0.001


class Clock:
    """Time that passes only while something works."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """Has work to do, and does at most a millisecond of it in one turn.

    Args:
        world: Where it works.
        name: How it is called.
        work: Milliseconds of work.
    """

    def __init__(self, world: World, name: str, work: float) -> None:
        self.world = world
        self.name = name
        self.work = work
        self.used, self.last = 0.0, SLICE
        self.is_queued = False

    def go_on(self) -> None:
        world = self.world
        began = world.clock.now
        while self.work > 0 and not world.turns.is_over(began):
            world.clock.now += 0.25 * MS
            self.work -= 0.25
        world.turns.charge(self, began)
        world.log.append((world.passes, self.name))
        if self.work > 0:
            world.turns.queue(self)


class World:
    """The turns of an event loop whose passes are counted."""

    def __init__(self, life: Callable[[str], Any]) -> None:
        self.clock = Clock()
        self.passes = 0
        self.log: list[tuple[int, str]] = []
        self.loop = asyncio.get_running_loop()
        self.module = life("wsext.runtime.turns")
        self.turns = self.module.Turns(self.loop, self.clock)

    async def run(self) -> None:
        """Let the loop go round until there is nothing to do."""
        last = -1
        while last != len(self.log):
            last = len(self.log)
            self.passes += 1
            await asyncio.sleep(0)


@pytest.fixture(params=[sources, compiled])
async def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


async def test_without_a_clock_of_its_own_it_goes_by_the_system_s(world: World) -> None:
    turns = world.module.Turns(world.loop)
    before = time.perf_counter()
    assert before <= turns.clock() <= time.perf_counter()


async def test_who_has_much_to_do_does_it_in_turns(world: World) -> None:
    for name in "ab":
        world.turns.queue(Worker(world, name, 3))
    await world.run()
    names = [name for _, name in world.log]
    assert names == ["a", "b"] * 3


async def test_a_pass_has_an_end_and_who_has_used_little_comes_first(world: World) -> None:
    for number in range(40):
        world.turns.queue(Worker(world, f"greedy {number}", 1000))
    for _ in range(20):
        world.passes += 1
        await asyncio.sleep(0)
    spent = world.clock.now
    honest = Worker(world, "honest", 0.25)
    honest.last = 0.25 * MS
    world.turns.queue(honest)
    world.passes += 1
    await asyncio.sleep(0)
    assert world.log[-1][0] == world.passes
    assert next(name for number, name in world.log if number == world.passes) == "honest"
    assert world.clock.now - spent <= 6 * MS
    per_pass = [sum(number == a for a, _ in world.log) for number in range(2, 20)]
    assert max(per_pass) <= 5


async def test_who_was_idle_has_saved_nothing(world: World) -> None:
    late = Worker(world, "late", 50)
    world.turns.queue(Worker(world, "early", 100))
    for _ in range(40):
        await asyncio.sleep(0)
    world.turns.queue(late)
    world.log.clear()
    await world.run()
    first = [name for _, name in world.log[:20]]
    assert 8 <= first.count("early") <= 12


async def test_who_needs_little_comes_before_those_who_have_just_come(world: World) -> None:
    """Forty connections that are new, and one that is known: it does not wait for all of them."""
    honest = Worker(world, "honest", 0.25)
    world.turns.queue(honest)
    await world.run()
    for number in range(40):
        world.turns.queue(Worker(world, f"new {number}", 1))
    honest.work = 0.25
    world.turns.queue(honest)
    world.log.clear()
    await world.run()
    assert world.log[0][1] == "honest"


async def test_who_was_idle_after_much_work_has_no_lead(world: World) -> None:
    """Forty that do much once in a while: whoever does little is served before them all."""
    strikers = [Worker(world, f"striker {number}", 1) for number in range(40)]
    honest = Worker(world, "honest", 0.25)
    for _ in range(3):
        for worker in (*strikers, honest):
            worker.work = 0.25 if worker is honest else 1
            world.turns.queue(worker)
        world.log.clear()
        await world.run()
    assert world.log[0][1] == "honest"


async def test_what_was_used_while_nobody_waited_does_not_count(world: World) -> None:
    """A session of long standing, and many that come: it has its turn in the first pass or two."""
    old = Worker(world, "old", 100)
    world.turns.queue(old)
    await world.run()
    for number in range(3):
        world.turns.queue(Worker(world, f"new {number}", 100))
    old.work = 1
    world.turns.queue(old)
    world.log.clear()
    await world.run()
    assert "old" in [name for _, name in world.log[:4]]


async def test_one_long_turn_does_not_make_a_small_user_a_great_one(world: World) -> None:
    """The clock goes on while the system lets other processes run."""
    honest = Worker(world, "honest", 0.25)
    honest.last = 0.0
    began = world.clock.now
    world.clock.now += 30 * MS
    world.turns.queue(honest)
    greedy = [Worker(world, f"greedy {number}", 100) for number in range(40)]
    for worker in greedy:
        world.turns.queue(worker)
    world.turns.charge(honest, began)
    await world.run()
    assert world.log[0][1] == "honest"


async def test_the_turn_in_which_one_has_queued_counts(world: World) -> None:
    class Direct(Worker):
        """Works where its data arrives, and queues for the rest, before it is charged."""

        def arrive(self) -> None:
            began = world.clock.now
            world.turns.queue(self)
            world.clock.now += 5 * MS
            world.turns.charge(self, began)

    greedy, honest = Direct(world, "greedy", 1), Worker(world, "honest", 0.25)
    greedy.arrive()
    world.turns.queue(honest)
    await world.run()
    assert [name for _, name in world.log] == ["honest", "greedy"]


async def test_a_pass_that_is_spent_is_followed_by_one_that_is_not(world: World) -> None:
    worker = Worker(world, "one", 0)
    began = world.clock.now
    world.clock.now += 9 * MS
    world.turns.charge(worker, began)
    assert world.turns.is_spent
    assert world.turns.is_over(world.clock.now)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not world.turns.is_spent


async def test_what_is_done_once_has_its_turn_when_time_is_left(world: World) -> None:
    turns, done = world.turns, []
    turns.spend(10 * MS)  # of somebody who is not known
    assert turns.is_spent
    for number in range(3):
        turns.queue(world.module.Once(lambda number=number: done.append(number)))
    assert not done
    await world.run()
    await asyncio.sleep(0)
    assert done == [0, 1, 2]
    assert not turns.is_spent


async def test_one_that_fails_does_not_stop_the_others(world: World) -> None:
    problems: list[Any] = []
    world.loop.set_exception_handler(lambda loop, context: problems.append(context["exception"]))

    class Failing(Worker):
        def go_on(self) -> None:
            raise ZeroDivisionError

    world.turns.queue(Failing(world, "failing", 1))
    world.turns.queue(Worker(world, "other", 1))
    await world.run()
    assert world.log == [(1, "other")] or world.log == [(2, "other")]
    assert [type(problem) for problem in problems] == [ZeroDivisionError]


async def test_only_what_a_coroutine_does_counts_and_not_what_it_waits_for(world: World) -> None:
    worker = Worker(world, "one", 0)
    go_on = asyncio.Event()
    steps: list[float] = []

    async def work(step: Any) -> None:
        world.clock.now += 2 * MS
        await go_on.wait()
        steps.append(world.clock.now - step.began)
        world.clock.now += 3 * MS

    task = asyncio.create_task(world.module.Timed(world.turns, worker, work))
    await asyncio.sleep(0)
    world.clock.now += 100 * MS
    go_on.set()
    await task
    assert steps == [0.0]
    assert worker.used == pytest.approx(5 * MS)


async def test_a_coroutine_works_in_no_pass_that_is_spent(world: World) -> None:
    worked: list[tuple[int, int]] = []

    async def work(step: Any) -> None:
        for number in range(3):
            await asyncio.sleep(0)  # all of them are resumed in one pass
            world.clock.now += 2 * MS
            worked.append((world.passes, number))

    workers = [Worker(world, str(number), 0) for number in range(20)]
    tasks = [
        asyncio.create_task(world.module.Timed(world.turns, worker, work)) for worker in workers
    ]
    while not all(task.done() for task in tasks):
        world.passes += 1
        await asyncio.sleep(0)
    per_pass = [sum(number == at for at, _ in worked) for number in range(world.passes + 1)]
    assert sum(per_pass) == 60
    assert max(per_pass) <= 8


# --- sessions -------------------------------------------------------------------------------------

#: What a peer can send that makes much work of few bytes, and what it has to agree to before.
FLOODS: dict[str, tuple[str, bytes, bytes]] = {
    "pongs": ("", b"", masked(10)),
    "empty messages": ("", b"", masked(1)),
    "empty fragments": ("", masked(1, b"", False), masked(0, b"", False)),
    "empty compressed fragments": (
        "permessage-deflate",
        masked(1, b"", False, 0x40),
        masked(0, b"", False),
    ),
    "compressed messages": ("permessage-deflate", b"", masked(2, deflated(b"x"), rsv=0x40)),
    "messages of an asynchronous codec": ("x-async-inflate", b"", masked(2, deflated(b"x"))),
    "fragments of an asynchronous codec": (
        "x-async-inflate",
        masked(2, b"", False),
        masked(0, b"", False),
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_others_have_their_turn_while_a_flood_is_decoded(flood: str) -> None:
    """Every look at the clock takes a millisecond here: a look is the end of a turn."""
    loop: Any = asyncio.get_running_loop()
    clock = Clock()

    def work_time() -> float:
        clock.now += 1.001 * MS
        return clock.now

    loop.work_time = work_time
    offer, before, unit = FLOODS[flood]
    seen: list[int] = []

    async def handler(session: Session) -> None:
        async for _ in session:
            pass

    app = app_of(handler, "permessage-deflate", AsyncInflate)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else "")
        (session,) = server.sessions
        count = 60_000 // len(unit)
        peer.send(before + unit * count)

        def look() -> None:
            seen.append(session.stats.frames_in)
            if seen[-1] < count:
                loop.call_soon(look)

        look()
        async with asyncio.timeout(SOON):
            await until(lambda: seen[-1] >= count)
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(steps) <= 200


async def test_others_have_their_turn_while_a_listener_works() -> None:
    """What the application does with a message belongs to the session's turn: here, 0.5 ms."""
    loop: Any = asyncio.get_running_loop()
    clock = Clock()
    loop.work_time = clock
    passes = 0
    seen: list[int] = []

    class Slow(Listener):
        def on_message(self, session: Session, message: Any) -> None:
            clock.now += 0.5 * MS
            seen.append(passes)

    app = App()
    app.websocket("/")(Slow)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        peer.send(masked(1, b"x") * 200)
        while len(seen) < 200:
            await asyncio.sleep(0)
            passes += 1
    assert max(Counter(seen).values()) <= 16


# --- what waits in all sessions -------------------------------------------------------------------


def waiting_of() -> int:
    """Bytes that are counted as waiting, in all sessions of this loop."""
    return turns_of(asyncio.get_running_loop()).waiting


KIB = 1 << 10


def limited(handler: Any, total: int, *extensions: Any) -> App:
    """An app in whose sessions so many bytes may wait together."""
    app = App(server=ServerOptions(incoming_total=total, handshake_rate=None))
    for extension in extensions:
        app.install(extension)
    app.websocket("/")(handler)
    return app


def offer_of(extension: str) -> str:
    return f"Sec-WebSocket-Extensions: {extension}\r\n" if extension else ""


@pytest.mark.parametrize("extension", ["", "permessage-deflate", "x-async-inflate"])
async def test_no_more_waits_in_all_sessions_than_may(extension: str) -> None:
    """Each has a message in any case; and the one that passes the bound does so by one read."""
    count, total, size = 40, 256 * KIB, KIB
    body = masked(2, deflated(bytes(size)), rsv=0x40 * (extension == "permessage-deflate"))
    message = body if extension else masked(2, bytes(size))
    go_on = asyncio.Event()
    got: Counter[Session] = Counter()

    async def handler(session: Session) -> None:
        await go_on.wait()
        async for _ in session:
            got[session] += 1

    app = limited(handler, total, "permessage-deflate", AsyncInflate)
    async with wsext.serve(app) as server, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(raw_peer(server.port)) for _ in range(count)]
        for peer in peers:
            await peer.shake(more=offer_of(extension))
            peer.send(message * 200)
        async with asyncio.timeout(SOON):
            await until(lambda: all(Held.of(session).inbox for session in server.sessions))
        await at_rest(waiting_of)
        held = [Held.of(session) for session in server.sessions]
        assert sum(each.inbox for each in held) <= total + 256 * KIB + count * size
        assert waiting_of() == sum(each.inbox + each.undecoded for each in held)
        go_on.set()
        async with asyncio.timeout(5 * SOON):
            await until(lambda: sum(got.values()) == count * 200)
        assert waiting_of() == 0
    assert set(got.values()) == {200}


async def test_a_session_for_which_nothing_waits_gets_a_message_whatever_waits_elsewhere() -> None:
    answered = asyncio.Event()

    async def handler(session: Session) -> None:
        if session.request.path == "/":
            await answered.wait()
        async for message in session:
            await session.send(message)

    app = limited(handler, 1)
    app.websocket("/echo")(handler)
    async with wsext.serve(app) as server, raw_peer(server.port) as full:
        await full.shake()
        full.send(masked(1, b"x") * 5)
        async with asyncio.timeout(SOON):
            await until(lambda: waiting_of() > 0)
            async with wsext.connect(f"{server.url}/echo") as session:
                for number in range(20):
                    await session.send(str(number))
                    assert await session.receive() == str(number)
            answered.set()
            frames = [await full.frame() for _ in range(5)]
            assert [frame and bytes(frame.payload) for frame in frames] == [b"x"] * 5


async def test_a_message_without_bytes_makes_room_too() -> None:
    """Nothing changes in the sum when it is taken, but the next one may come."""
    got: list[Any] = []
    go_on = asyncio.Event()

    async def handler(session: Session) -> None:
        await go_on.wait()
        got.extend([message async for message in session])

    async with wsext.serve(limited(handler, 1)) as server, AsyncExitStack() as stack:
        other = await stack.enter_async_context(raw_peer(server.port))
        peer = await stack.enter_async_context(raw_peer(server.port))
        await other.shake()
        other.send(masked(1, b"waits"))
        async with asyncio.timeout(SOON):
            await until(lambda: waiting_of() >= 5)
            await peer.shake()
            peer.send(masked(1) * 3 + masked(8, b"\x03\xe8"))
            await at_rest(waiting_of)
            go_on.set()
            assert await peer.close_code() == 1000
    assert got.count("") == 3


@pytest.mark.parametrize("end", ["abort", "close", "reset", "handler ends", "handler fails"])
async def test_what_waited_is_not_counted_once_the_session_has_ended(end: str) -> None:
    stop = asyncio.Event()

    async def handler(session: Session) -> None:
        if end == "handler fails":
            await stop.wait()
            raise wsext.ProtocolError(1011, "for the test")
        await (stop.wait() if end == "handler ends" else session.wait_closed())

    async with wsext.serve(limited(handler, 10 * KIB)) as server, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(raw_peer(server.port)) for _ in range(2)]
        for peer in peers:
            await peer.shake()
            peer.send(masked(2, bytes(KIB)) * 20)
        async with asyncio.timeout(SOON):
            await until(lambda: all(Held.of(each).inbox for each in server.sessions))
        await at_rest(waiting_of)
        assert waiting_of() >= 10 * KIB
        stop.set()
        closing = []
        for session in server.sessions:
            if end == "abort":
                session.abort()
            elif end == "close":
                closing.append(asyncio.create_task(session.close()))
        for peer in peers:
            if end == "reset":
                sock = peer.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.writer.transport.abort()
            else:
                peer.send(masked(8, b"\x03\xe8"))
        async with asyncio.timeout(SOON):
            await until(lambda: not server.sessions)
        await asyncio.gather(*closing)
        assert waiting_of() == 0


async def test_who_has_waited_longest_for_room_gets_it_first(world: World) -> None:
    turns = world.turns
    turns.limit(10)
    turns.count(10)

    class Fills(Worker):
        def go_on(self) -> None:
            super().go_on()
            turns.count(10)
            turns.wait_for_room(self)

    for name in "abcd":
        turns.wait_for_room(Fills(world, name, 0))
    await world.run()
    assert world.log == []
    for _ in range(8):
        turns.count(-10)
        await world.run()
    assert [name for _, name in world.log] == list("abcdabcd")


async def test_all_who_find_room_go_on_at_once_and_who_leaves_does_not(world: World) -> None:
    turns = world.turns
    turns.limit(10)
    turns.count(10)
    workers = [Worker(world, name, 0) for name in "abc"]
    for worker in workers:
        turns.wait_for_room(worker)
    turns.leave(workers[1])
    turns.limit(None)
    await world.run()
    assert [name for _, name in world.log] == ["a", "c"]
