"""What is left over at the end of a world is found; codecs are counted from their making to their
closing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.testing.simulation.scenarios import echo_app, in_virtual_time
from wsext import Codec, Extension
from wsext.testing import SimulationFailed, World, simulate
from wsext.testing.simulation.books import logged_errors


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


class Forgetful(Codec):
    """Is closed twice, or never."""


class Forgotten(Extension):
    """Makes a codec more than it hands out."""

    name = "x-forgotten"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return Forgetful()

    def accept(self, offer: Any, ctx: Any) -> Any:
        self.make_codec(offer, ctx)
        return super().accept(offer, ctx)


def test_a_codec_that_is_never_closed_is_found() -> None:
    app = echo_app()
    app.install(Forgotten)

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        async with world.connect(server, "/echo", extensions=[Forgotten]):
            assert world.codecs_made == 3

    found = r"a codec of x-forgotten \(Forgetful\) was closed 0 times"
    with pytest.raises(SimulationFailed, match=found) as caught:
        simulate(scenario, 4)
    assert "the last events of the network" in caught.value.__notes__[0]
    assert "close" not in vars(Forgetful)  # everything is as it was


def test_what_wsext_logs_as_an_error_is_gathered_for_as_long_as_the_block_runs() -> None:
    logger = logging.getLogger("wsext.somewhere")
    with logged_errors() as records:
        logger.error("it is %s", "broken")
        logger.warning("it is odd")
    logger.error("later")
    assert [record.getMessage() for record in records] == ["it is broken"]
