"""What extensions answer while a handshake is negotiated, and how long that may take."""

from __future__ import annotations

import asyncio

import pytest

from wsext.runtime.patience import Patience
from wsext.testing import World, simulate


async def answer(value: int, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return value


async def fail(error: BaseException) -> None:
    raise error


async def test_an_answer_and_an_error_come_through() -> None:
    patience = Patience(5)
    assert await patience.wait(answer(7)) == 7
    with pytest.raises(KeyError):
        await patience.wait(fail(KeyError()))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_the_process_is_not_ended(error: BaseException) -> None:
    with pytest.raises(type(error)):
        await Patience(5).wait(fail(error))


async def test_a_cancellation_of_its_own_is_a_fault() -> None:
    with pytest.raises(RuntimeError, match="cancelled by itself"):
        await Patience(5).wait(fail(asyncio.CancelledError()))


def test_all_answers_together_have_so_long() -> None:
    async def scenario(world: World) -> None:
        patience = Patience(5)
        assert await patience.wait(answer(1, 3)) == 1
        with pytest.raises(TimeoutError):
            await patience.wait(answer(2, 3))
        with pytest.raises(TimeoutError):
            await patience.wait(answer(3, 1))
        assert asyncio.get_running_loop().time() < 6

    simulate(scenario)


def test_what_goes_on_when_it_is_cancelled_is_waited_for_no_longer() -> None:
    async def stubborn(end: asyncio.Event) -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    async def scenario(world: World) -> None:
        end = asyncio.Event()
        with pytest.raises(TimeoutError):
            await Patience(5).wait(stubborn(end))
        end.set()

    simulate(scenario)


async def test_who_waits_can_be_cancelled_and_so_is_the_answer() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = asyncio.create_task(Patience(5).wait(hang()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cancelled.wait()
