"""The simulated event loop: time passes at once, in order, and a standstill is reported."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.testing.simulation.scenarios import in_virtual_time
from wsext.testing import Deadlock


def test_sleeping_takes_no_time_and_wakes_in_order() -> None:
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, asyncio.get_running_loop().time()))

    async def work() -> None:
        await asyncio.gather(sleep("c", 3600.0), sleep("a", 0.5), sleep("b", 20.0))

    started = time.perf_counter()
    in_virtual_time(work)
    assert woken == [("a", 0.5), ("b", 20.0), ("c", 3600.0)]
    assert time.perf_counter() - started < 2


def test_timeouts_are_virtual() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(3600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 12)
        await asyncio.wait({loop.create_task(asyncio.sleep(1))}, timeout=100)
        return loop.time()

    assert in_virtual_time(work) == 43.0


def test_threads_are_called_in_one_go_and_take_a_moment() -> None:
    order: list[int] = []

    async def one(number: int) -> int:
        done = await asyncio.to_thread(lambda: order.append(number) or number)
        assert asyncio.get_running_loop().time() > 0
        return done

    async def work() -> list[int]:
        order.clear()
        assert await asyncio.gather(*map(one, range(5))) == list(range(5))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return list(order)

    assert in_virtual_time(work, 1) == in_virtual_time(work, 1)
    assert len({tuple(in_virtual_time(work, seed)) for seed in range(10)}) > 1


def test_a_standstill_says_what_everybody_waits_for() -> None:
    never: list[asyncio.Future[None]] = []

    async def wait_for_ever() -> None:
        never.append(asyncio.get_running_loop().create_future())
        await never[0]

    async def outer() -> None:
        await wait_for_ever()

    async def work() -> None:
        await asyncio.get_running_loop().create_task(outer(), name="the stuck one")

    with pytest.raises(Deadlock) as caught:
        in_virtual_time(work, seed=5)
    text = str(caught.value)
    assert "nothing is ready, and no timer is set" in text
    assert "'scenario' waits:" in text
    assert "'the stuck one' waits:" in text
    assert "wait_for_ever (" in text
    assert "for a future made at" in text
    assert "test_loop.py" in text
    assert "seed 5" in "".join(caught.value.__notes__)


def test_going_round_in_circles_is_a_standstill_too() -> None:
    async def work() -> None:
        while True:  # noqa: ASYNC110 - what is to be found
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="no time passed"):
        in_virtual_time(work)


def test_a_scenario_has_a_limit() -> None:
    async def work() -> None:
        while True:  # noqa: ASYNC110 - never comes to its end
            await asyncio.sleep(60)

    with pytest.raises(Deadlock, match="not over after 1000 s"):
        in_virtual_time(work, limit=1000)


def test_what_a_scenario_raises_comes_out_with_the_seed() -> None:
    async def work() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        in_virtual_time(work, seed=12)
    assert any("WSEXT_SEED=12" in note for note in caught.value.__notes__)


def test_a_task_that_refuses_to_be_cancelled_does_not_hang_the_test() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue

    async def work() -> None:
        raise LookupError

    async def start() -> None:
        task = asyncio.create_task(stubborn())
        task.add_done_callback(lambda done: None)
        await work()

    with pytest.raises(LookupError):
        in_virtual_time(start)


def test_there_are_no_sockets() -> None:
    async def work() -> None:
        with pytest.raises(NotImplementedError, match=r"world\.connect"):
            await asyncio.open_connection("localhost", 80)

    in_virtual_time(work)
