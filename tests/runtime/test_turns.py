"""Turns: nobody decodes for long, and who has used little comes first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import wsext
from tests.codecs import AsyncInflate, deflated
from tests.lives import compiled, sources
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of
from tests.waiting import until
from wsext import Session

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
        self.used = 0.0
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
