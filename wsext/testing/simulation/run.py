"""How is a scenario run, and what has to hold at its end?"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from wsext.runtime.loop import refuse_running_loop
from wsext.testing.simulation.books import Books, logged_errors
from wsext.testing.simulation.conditions import Conditions, Weather, mild
from wsext.testing.simulation.errors import SimulationFailed
from wsext.testing.simulation.loop import SimulatedLoop, no_automatic_collection
from wsext.testing.simulation.world import World

__all__ = ["seeds", "simulate"]

T = TypeVar("T")

#: How many of the network's last events a failure shows.
_SHOWN = 25


@no_automatic_collection()  # until nothing holds the world of the run any more
def simulate(
    scenario: Callable[[World], Awaitable[T]],
    seed: int = 0,
    *,
    weather: Weather | Conditions = mild,
    limit: float = 86400.0,
) -> T:
    """Run a scenario in a world where time is virtual and the network does what the seed says.

    ::

        async def scenario(world):
            server = await world.serve(app)
            async with world.connect(server, "/echo") as session:
                await asyncio.sleep(3600)  # takes no time
                await session.send("still there?")
                assert await session.receive() == "still there?"

        for seed in seeds(100):
            simulate(scenario, seed)

    The same seed gives the same course of events. When the scenario has returned, the servers are
    closed, and then nothing may be left: no task, timer, future or session, every codec was closed
    once, every counter is at 0, and asyncio has reported no error.

    Args:
        scenario: A coroutine function; it is given the world.
        seed: Decides everything that is left to chance, also what `random`, `secrets` and `uuid`
            draw.
        weather: How the network treats connections: the same for all, or drawn by the seed. By
            default (`mild`) it is slow and cuts reads into pieces, but loses nothing; `rough`
            also resets, half-closes, stalls and refuses.
        limit: Seconds of virtual time after which the scenario has failed.

    Returns:
        What the scenario returned.

    Raises:
        SimulationFailed: If something is left over at the end.
        Deadlock: If nothing can happen any more, or the limit was passed.
        Exception: What the scenario raised, with the seed and the last events as a note.
    """
    refuse_running_loop("simulate()", "call it in a plain function, such as def test_...()")
    if isinstance(weather, Conditions):
        conditions = weather
        weather = lambda rng: conditions  # noqa: E731
    with _seeded(seed) as rng:
        loop = SimulatedLoop(rng, limit)
        books = Books(loop)
        worlds: list[World] = []

        async def live() -> T:
            world = World(seed, rng, weather, books)
            worlds.append(world)
            result = await scenario(world)
            await books.close()
            return result

        try:
            with logged_errors() as books.errors:
                work = loop.create_task(live(), name="scenario")
                result: T = loop.run_until_complete(work)
            gc.collect()  # so that futures which failed unseen say so
            findings = books.findings()
            if findings:
                raise SimulationFailed(findings)
        except BaseException as error:
            error.add_note(_explain(seed, worlds))
            raise
        finally:
            books.codecs.stop()
            loop.stop_everything()
        return result


def _explain(seed: int, worlds: list[World]) -> str:
    lines = [f"simulated with seed {seed}; run only that with WSEXT_SEED={seed}"]
    for world in worlds:
        events = list(world.network.events)[-_SHOWN:]
        lines += ["the last events of the network:", *map(str, events)] if events else []
        lines += [
            f"logged by {record.name}: {record.getMessage()}"
            + (f" ({record.exc_info[1]!r})" if record.exc_info else "")
            for record in world.errors
        ]
    return "\n".join(lines)


@contextmanager
def _seeded(seed: int) -> Iterator[random.Random]:
    """Let `random`, `secrets`, `uuid` and `os.urandom` draw from a seed; then as before.

    What they give meanwhile is no secret.
    """
    rng = random.Random(seed)
    system: Any = random
    urandom, inner = os.urandom, system._urandom  # `secrets` takes the second one
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    bytes_source = random.Random(rng.getrandbits(64))
    os.urandom = bytes_source.randbytes
    system._urandom = bytes_source.randbytes
    try:
        yield rng
    finally:
        os.urandom, system._urandom = urandom, inner
        random.setstate(state)


def seeds(count: int, first: int = 0) -> Iterable[int]:
    """So many seeds, one after the other; with ``WSEXT_SEED`` in the environment, only that one.

    Args:
        count: How many.
        first: The first one.
    """
    only = os.environ.get("WSEXT_SEED")
    return [int(only)] if only else range(first, first + count)
