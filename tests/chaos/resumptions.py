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

#: Sessions of the ordinary load, and sessions that come back.
ORDINARY, BACK = 100, 200

#: Turns of each measurement: a machine that gets slower does so for both.
TURNS = 6


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


def wait_beside(rate: int, messages: int, seconds: float) -> Waits:
    """How long answers take without resumptions, and with so many in a second.

    Args:
        rate: Resumptions in a second.
        messages: Messages in a second of the sessions that go on.
        seconds: Of each of the two measurements, which take turns.
    """
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
                without, beside, took = asyncio.run(
                    _ask(f"{served.ws}/echo", messages, seconds, mine)
                )
                mine.send("end")
                resumed, wrong = mine.recv()
            finally:
                process.terminate()
                process.join()
    waits = Waits(_median_and_p99(without), _median_and_p99(beside), resumed / took, wrong)
    if waits.beside[1] > 2 * waits.without[1]:
        waits.wrong.append("the p99 is more than twice as long")
    return waits


async def _ask(
    url: str, messages: int, seconds: float, others: Connection
) -> tuple[list[float], list[float], float]:
    """The ordinary load: ask, wait for the answer, think.

    Returns:
        The seconds of each answer without the others, those beside them, and how long there were
        others.
    """
    without: list[float] = []
    beside: list[float] = []
    answers = without
    others_took = 0.0

    async def ask(number: int) -> None:
        chance = random.Random(number)
        while True:
            began = time.monotonic()
            await sessions[number].send("x" * 64)
            await sessions[number].receive()
            answers.append(time.monotonic() - began)
            await asyncio.sleep(chance.random() * 2 * ORDINARY / messages)

    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(wsext.connect(url, extensions=[resume()]))
            for _ in range(ORDINARY)
        ]
        tasks = [asyncio.create_task(ask(number)) for number in range(ORDINARY)]
        for _ in range(TURNS):
            answers = without
            await asyncio.sleep(seconds / TURNS)
            others.send("begin")
            began, answers = time.monotonic(), beside
            await asyncio.sleep(seconds / TURNS)
            others.send("pause")
            answers = []
            await asyncio.to_thread(others.recv)
            others_took += time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return without, beside, others_took


def _median_and_p99(took: list[float]) -> tuple[float, float]:
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def _come_back(port: int, rate: int, pipe: Connection) -> None:
    """In a process of its own: sessions whose connections are dropped, one after the other.

    What is measured is the server. These clients and their relay take more of the processor than it
    does, so they yield to whoever asks.
    """
    os.nice(19)
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
        while await asyncio.to_thread(pipe.recv) != "end":
            next_one = asyncio.get_running_loop().time()
            while not pipe.poll():
                network.cut_one()
                next_one += 1 / rate
                await asyncio.sleep(next_one - asyncio.get_running_loop().time())
            pipe.recv()
            pipe.send("paused")
        resumed = sum(session.resumptions for session in sessions)
        wrong = [f"a session has ended: {s.close_info}" for s in sessions if not s.is_open]
        return resumed, wrong
