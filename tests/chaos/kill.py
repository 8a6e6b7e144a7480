"""Workers and brokers that are killed under rooms that catch up: what is lost, what is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import wsext
from tests import brokers
from tests.chaos.served import FAST
from tests.e2e.processes import Served, serving
from wsext import PublishError, RoomError

__all__ = ["FAULTS", "Cell", "kill"]

ROOMS = 20


@dataclass
class Cell:
    """What became of the messages while one thing was killed again and again.

    Attributes:
        lost: Messages that a subscriber has not got, and was not told of.
        doubled: Messages that a subscriber has got again.
        told: How often a subscriber was told that messages are missing, by reason.
        unseen: Messages that a subscriber has not got, and was told so.
    """

    messages: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unseen: int = 0
    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {reason}" for reason, count in self.told.items()) or "nobody"
        return (
            f"{self.messages} messages, {self.lost} lost, {self.doubled} doubled, "
            f"{self.disordered} out of order, told: {told} ({self.unseen} messages), "
            f"{self.seconds:.0f} s"
        )


def _workers(pid: int) -> list[int]:
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


class _Scene:
    def __init__(
        self,
        serve: Callable[[], AbstractContextManager[Served]],
        broker: brokers.Broker,
        folder: Path,
    ) -> None:
        self._serve = serve
        self._stack = ExitStack()
        self.broker = broker
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.served = self._stack.enter_context(self._serve())

    def stop(self) -> None:
        """SIGTERM of the server, and wait for its end."""
        self._stack.close()

    async def restart(self) -> None:
        try:
            await asyncio.to_thread(self.stop)
        finally:
            await asyncio.to_thread(self.start)

    async def kill_worker(self) -> None:
        os.kill(_workers(self.served.process.pid)[-1], signal.SIGKILL)

    async def end_worker(self) -> None:
        os.kill(_workers(self.served.process.pid)[-1], signal.SIGTERM)

    async def renew(self) -> None:
        os.kill(self.served.process.pid, signal.SIGHUP)

    async def kill_broker(self) -> None:
        self.broker.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(self.broker.start)

    async def kill_broker_and_data(self) -> None:
        self.broker.kill()
        for path in self.folder.iterdir():
            if path.name != "log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        await asyncio.to_thread(self.broker.start)

    async def stop_broker(self) -> None:
        self.broker.stall()
        await asyncio.sleep(2)
        self.broker.go_on()


FAULTS: dict[str, Callable[[_Scene], object]] = {
    "kill -9 of a worker": _Scene.kill_worker,
    "SIGTERM of a worker": _Scene.end_worker,
    "SIGHUP": _Scene.renew,
    "SIGTERM of the server": _Scene.restart,
    "broker killed": _Scene.kill_broker,
    "broker killed, data gone": _Scene.kill_broker_and_data,
    "broker stopped for 2 s": _Scene.stop_broker,
}


def kill(fault: str, kind: str, subscribers: int, publishers: int, times: int, each: int) -> Cell:
    """Break one thing several times while everybody talks, and judge."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "broker").mkdir()
        broker = stack.enter_context(brokers.running(kind, folder / "broker"))
        log = stack.enter_context((folder / "log").open("w"))
        args = ["tests.chaos.feed:app", "--workers", "2", "--backplane", broker.url]
        args += ["--port", str(brokers.free_port()), "--log-level", "error"]
        env = {**os.environ, "WSEXT_PLUGINS": "presets"}
        scene = _Scene(lambda: serving(*args, env=env, stderr=log), broker, folder / "broker")
        stack.callback(scene.stop)
        cell = asyncio.run(_run(fault, scene, subscribers, publishers, times, each))
        if "Traceback" in (said := (folder / "log").read_text()):
            cell.wrong.append(f"log: {said[:1500]}")
        return cell


async def _run(
    fault: str, scene: _Scene, subscribers: int, publishers: int, times: int, each: int
) -> Cell:
    cell = Cell()
    joined = asyncio.Semaphore(0)
    ws, began = scene.served.ws, time.monotonic()
    hearing = [
        asyncio.create_task(_hear(f"{ws}/hear/{n % ROOMS}", joined, cell))
        for n in range(subscribers)
    ]
    for _ in hearing:
        await joined.acquire()
    words = {n: [f"p{n}-{number}" for number in range(each)] for n in range(publishers)}
    saying = [
        asyncio.create_task(
            _publish(scene.broker.url, str(n % ROOMS), words[n])
            if n % 2
            else _say(f"{ws}/say/{n % ROOMS}", words[n])
        )
        for n in range(publishers)
    ]
    for _ in range(times):
        await asyncio.sleep(3)
        happened = FAULTS[fault](scene)
        assert asyncio.iscoroutine(happened)
        try:
            await happened
        except AssertionError as error:
            cell.wrong.append(str(error))
    _, late = await asyncio.wait(saying, timeout=90)
    cell.wrong += [f"a publisher did not end: {task.get_coro()}" for task in late]
    cell.wrong += [repr(e) for task in saying if task.done() and (e := task.exception())]
    await asyncio.gather(*(_publish(scene.broker.url, str(n), ["last"]) for n in range(ROOMS)))
    await asyncio.wait(hearing, timeout=30)
    for n, task in enumerate(hearing):
        if not task.done():
            cell.wrong.append(f"subscriber {n} has not heard the last message")
            task.cancel()
            continue
        heard, was_told = task.result()
        said = {word for p in range(publishers) if p % ROOMS == n % ROOMS for word in words[p]}
        missing = len(said - {*heard})
        if was_told:
            cell.unseen += missing
        else:
            cell.lost += missing
        cell.doubled += len(heard) - len({*heard})
        for p in range(n % ROOMS, publishers, ROOMS):
            numbers = [int(word.partition("-")[2]) for word in heard if word.startswith(f"p{p}-")]
            cell.disordered += numbers != sorted(numbers)
    cell.messages = publishers * each
    cell.seconds = time.monotonic() - began
    return cell


async def _hear(url: str, joined: asyncio.Semaphore, cell: Cell) -> tuple[list[str], bool]:
    """Follow a room until its last message; what was heard, and whether something was missed."""
    since, heard, was_told = "", list[str](), False
    async for session in wsext.connect(url, extensions=["session-resume"], backoff=FAST):
        with suppress(wsext.ConnectionClosed):
            await session.send(since)
        async for message in session:
            since, _, text = str(message).partition(" ")
            if text.startswith("joined "):
                if (reason := text.partition(" ")[2]) != "-":
                    cell.told[reason] += 1
                    was_told = True
                joined.release()
            elif text == "last":
                return heard, was_told
            else:
                heard.append(text)
    return heard, was_told


async def _say(url: str, words: list[str]) -> None:
    """Publish by a session; what was not confirmed is said again in the next one."""
    left = list(words)
    async for session in wsext.connect(url, extensions=["session-resume"], backoff=FAST):
        with suppress(wsext.ConnectionClosed):
            while left:
                await session.send(left[0])
                assert await session.receive() == left[0]
                del left[0]
                await asyncio.sleep(0.05)  # an even load
            return


async def _publish(url: str, room: str, words: list[str]) -> None:
    """Publish from outside; what is not known to be there is published again."""
    async with wsext.Publisher(url) as publisher:
        for word in words:
            while True:
                try:
                    await publisher.publish(room, word, id=word)
                    break
                except (PublishError, RoomError):
                    await asyncio.sleep(0.1)  # the broker is away
            await asyncio.sleep(0.05)  # an even load
