"""What is left over at the end of a world is found."""

from __future__ import annotations

import asyncio

import pytest

from tests.testing.simulation.scenarios import in_virtual_time
from wsext.testing import SimulationFailed, World, simulate


def test_a_task_that_is_left_over_is_found() -> None:
    async def work() -> None:
        task = asyncio.create_task(asyncio.sleep(1e6), name="forgotten")
        task.add_done_callback(lambda done: None)

    with pytest.raises(SimulationFailed, match="'forgotten' still runs"):
        in_virtual_time(work, limit=1e7)


def test_a_timer_that_is_left_over_is_found() -> None:
    def forgotten() -> None:
        pass

    async def work() -> None:
        asyncio.get_running_loop().call_later(1e5, forgotten)

    with pytest.raises(SimulationFailed, match=r"a timer is still set: .*forgotten"):
        in_virtual_time(work)


def test_a_future_that_is_left_over_is_found() -> None:
    kept: list[asyncio.Future[None]] = []

    async def work() -> None:
        kept.append(asyncio.get_running_loop().create_future())

    with pytest.raises(
        SimulationFailed, match=r"a future is still pending, made at .*test_books.py"
    ):
        in_virtual_time(work)


def test_an_exception_that_nobody_has_looked_at_is_found() -> None:
    async def fail() -> None:
        raise ValueError("unseen")

    async def work() -> None:
        asyncio.create_task(fail())  # noqa: RUF006
        await asyncio.sleep(1)

    with pytest.raises(SimulationFailed, match=r"never retrieved.*unseen"):
        in_virtual_time(work)

    async def scenario(world: World) -> None:
        world.expect("never retrieved")
        await work()

    simulate(scenario)
