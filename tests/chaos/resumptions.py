"""Sessions that resume all the time, beside others that go on: how long those wait for answers."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory

import wsext
from tests.chaos.network import Network
from tests.chaos.served import FAST, options, resume
from tests.e2e.processes import serving
from tests.relay import listening
from wsext import WebSocketOptions

__all__ = ["Waits", "wait_beside"]

#: Sessions of the ordinary load, the most seconds between two messages of one, and sessions that
#: come back.
ORDINARY, THINKING, BACK = 100, 0.2, 200


@dataclass
class Waits:
    """Seconds until the answer, without resumptions and with them.

    Attributes:
        rate: Resumptions in a second.
        wrong: What is not as it is promised.
    """

    without: tuple[float, float]
    beside: tuple[float, float]
    rate: float
    wrong: list[str]

    def __str__(self) -> str:
        (median, p99), (other_median, other_p99) = self.without, self.beside
        return (
            f"median {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms; with {self.rate:.0f} "
            f"resumptions a second {other_median * 1e3:.2f} ms, p99 {other_p99 * 1e3:.2f} ms: "
            f"{other_p99 / p99:.2f} times"
        )


def wait_beside(rate: int, seconds: float) -> Waits:
    """Measure first without resumptions and then with so many in a second."""
    with TemporaryDirectory() as folder:
        env = {**os.environ, "WSEXT_PLUGINS": "presets", "CHAOS_FILE": f"{folder}/record"}
        with serving("tests.chaos.served:app", "--log-level", "warning", env=env) as served:
            mine, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=_come_back, args=(served.port, rate, theirs)
            )
            process.start()
            try:
                mine.recv()  # they are all there, in both measurements
                url = f"{served.ws}/echo"
                without = asyncio.run(_ask(url, seconds))
                mine.send("begin")
                began = time.monotonic()
                beside = asyncio.run(_ask(url, seconds))
                mine.send("end")
                took = time.monotonic() - began
                resumed, wrong = mine.recv()
            finally:
                process.terminate()
                process.join()
    waits = Waits(without, beside, resumed / took, wrong)
    if beside[1] > 2 * without[1]:
        waits.wrong.append("the p99 is more than twice as long")
    return waits


async def _ask(url: str, seconds: float) -> tuple[float, float]:
    """The ordinary load: ask, wait for the answer, think; the median and the p99."""
    took: list[float] = []
    end = time.monotonic() + seconds

    async def ask(number: int) -> None:
        chance = random.Random(number)
        async with wsext.connect(url, extensions=[resume()]) as session:
            while time.monotonic() < end:
                began = time.monotonic()
                await session.send("x" * 64)
                await session.receive()
                took.append(time.monotonic() - began)
                await asyncio.sleep(chance.random() * THINKING)

    await asyncio.gather(*map(ask, range(ORDINARY)))
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def _come_back(port: int, rate: int, pipe: Connection) -> None:
    """In a process of its own: sessions whose connections are dropped, one after the other."""
    pipe.send(asyncio.run(_resume(port, rate, pipe)))
    pipe.recv()


async def _resume(port: int, rate: int, pipe: Connection) -> tuple[int, list[str]]:
    async with listening(Network(port, 0, 0, 1)) as network, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{network.port}/echo"
        how = {"extensions": [resume()], "backoff": FAST}
        sessions = [
            await stack.enter_async_context(
                wsext.connect(url, options=WebSocketOptions(**options()), **how)
            )
            for _ in range(BACK)
        ]
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        next_one = asyncio.get_running_loop().time()
        while not pipe.poll():
            network.cut_one()
            next_one += 1 / rate
            await asyncio.sleep(next_one - asyncio.get_running_loop().time())
        pipe.recv()
        resumed = sum(session.resumptions for session in sessions)
        wrong = [f"a session has ended: {s.close_info}" for s in sessions if not s.is_open]
        return resumed, wrong
