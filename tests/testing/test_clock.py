"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio

from wsext.testing import World, simulate
from wsext.testing.clock import Clock, make_clock, settle


async def test_what_is_due_happens_in_its_order_at_its_time() -> None:
    clock = Clock()
    happened: list[tuple[str, float]] = []

    def at(name: str, delay: float) -> None:
        clock.call_later(delay, lambda: happened.append((name, clock.time())))

    at("late", 50)
    at("early", 10)
    at("together with early", 10)
    at("long ago", -5)
    await clock.advance(49)
    assert happened == [("long ago", 0), ("early", 10), ("together with early", 10)]
    assert clock.time() == 49
    await clock.advance(1)
    assert happened[-1] == ("late", 50)


async def test_what_was_cancelled_does_not_happen() -> None:
    clock = Clock()
    happened: list[str] = []
    timer = clock.call_later(1, lambda: happened.append("cancelled"))
    clock.call_later(0.5, timer.cancel)
    await clock.advance(5)
    assert happened == []


async def test_what_follows_from_a_call_happens_before_the_next_one() -> None:
    clock = Clock()
    happened: list[str] = []
    wake = asyncio.Event()

    async def follow() -> None:
        await wake.wait()
        happened.append("followed")
        clock.call_later(1, lambda: happened.append("called from it"))

    task = asyncio.create_task(follow())
    clock.call_later(1, wake.set)
    clock.call_later(3, lambda: happened.append("next"))
    await clock.advance(10)
    assert happened == ["followed", "called from it", "next"]
    await task


async def test_settling_gives_everything_that_is_ready_its_turn() -> None:
    happened: list[int] = []

    async def chain(length: int) -> None:
        happened.append(length)
        if length:
            await asyncio.create_task(chain(length - 1))

    task = asyncio.create_task(chain(5))
    await settle()
    assert happened == [5, 4, 3, 2, 1, 0]
    await task


def test_in_a_simulated_world_it_is_the_worlds_clock() -> None:
    async def scenario(world: World) -> list[float]:
        clock, loop = make_clock(), asyncio.get_running_loop()
        happened: list[float] = []
        clock.call_later(5, lambda: happened.append(clock.time()))
        await clock.advance(20)
        return [*happened, clock.time(), loop.time()]

    assert simulate(scenario) == [5, 20, 20]
