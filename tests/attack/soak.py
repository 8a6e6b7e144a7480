"""Honest and hostile load together, for minutes, and whether anything grows or goes wrong.

The server has two workers, Redis, and HTTP/1.1 and HTTP/2. One attack after the other is chosen by
chance; between two of them the server is looked at. Honest sessions echo all the time, and two
members of a room on different connections count what they hear.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.attack.fronts import FRONTS, Serving, serving
from tests.attack.honest import Honest, Waits, honest
from tests.attack.meter import MIB, Meter, tree
from tests.attack.registry import Attack, load
from tests.attack.target import DROPPED, Target
from tests.raw import masked

__all__ = ["soak"]

WORKERS = ("--workers", "2")
ATTACK_SECONDS, REST_SECONDS = 2.0, 1.0

#: What is looked at, its unit, and by how much its median may differ between the second fifth of
#: the time and the last: by what one attack leaves, since a look comes a second after an attack.
#: Each worker opens up to eight connections to Redis when it needs them, and keeps them.
FLAT = (("memory", "MiB", 24.0), ("descriptors", "", 12), ("tasks", "", 4), ("sessions", "", 4))


@dataclass
class Sample:
    """The server between two attacks."""

    minute: float
    memory: float  # MiB
    descriptors: int
    tasks: int
    sessions: int


@dataclass
class Soak:
    """What was seen."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)  # of each half minute
    attacks: int = 0
    heard: int = 0

    def total(self, name: str) -> int:
        """The sum of a figure of the honest sessions."""
        return sum(getattr(one, name) for one in self.waits)


def slope(samples: list[Sample], name: str) -> float:
    """How much a figure grows in an hour, by least squares; the first fifth is warming up."""
    points = [(one.minute / 60, getattr(one, name)) for one in samples[len(samples) // 5 :]]
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - level) for x, y in points) / spread if spread else 0.0


def fitting() -> list[tuple[Attack, str]]:
    """The attacks for which this server is the right one, with how they speak."""
    return [
        (attack, front)
        for attack in load().values()
        if not attack.options and attack.args in ((), WORKERS) and attack.descriptors is None
        for front in attack.fronts
        if front in ("http1", "http2", "redis", "client") and attack.newcomers
    ]


async def room(target: Target, seen: Soak) -> None:
    """Say numbers in a room, and hear all of them in order on another connection."""
    listener = await target.websocket("/room/soak")
    speaker = await target.websocket("/room/soak")
    target.start(speaker.discard())
    expected = 0
    while True:
        await speaker.push(masked(1, str(expected).encode()))
        async with asyncio.timeout(10):
            while True:
                frame = await listener.frame()
                if frame is None or frame.opcode == 8:
                    raise ConnectionResetError("the room's listener was thrown out")
                if frame.opcode == 9:
                    await listener.push(masked(10, bytes(frame.payload)))
                elif frame.payload == str(expected).encode():
                    break
                elif frame.opcode == 1 and int(frame.payload) >= expected:
                    seen.problems.append(f"heard {bytes(frame.payload)!r} for {expected}")
        expected += 1
        seen.heard = expected
        await asyncio.sleep(0.05)


async def _room(target: Target, seen: Soak) -> None:
    while True:
        try:
            await room(target, seen)
        except (*DROPPED, TimeoutError, ValueError) as error:
            seen.problems.append(f"in the room: {error!r}")
            await asyncio.sleep(1)


async def _attack(server: Serving, attack: Attack, front: str, meter: Meter, seen: Soak) -> None:
    http2 = FRONTS[front].http2
    target = Target(server, front, http2, ATTACK_SECONDS, meter.said)
    try:
        async with asyncio.timeout(ATTACK_SECONDS + 30):
            await attack.run(target)
    except AssertionError as error:
        seen.problems.append(f"{attack.name}, {front}: {str(error).partition(chr(10))[0]}")
    except (*DROPPED, TimeoutError) as error:
        seen.problems.append(f"{attack.name}, {front}: {error!r}")
    finally:
        await target.close()
    seen.attacks += 1


async def _look(target: Target, meter: Meter, pid: int, began: float) -> Sample:
    state = await target.state(tree(pid)[1:])
    minute = (time.monotonic() - began) / 60
    memory, descriptors = meter.memory() / MIB, meter.descriptors()
    return Sample(minute, memory, descriptors, state["tasks"], state["sessions"])


async def _run(minutes: float, seed: int, server: Serving, meter: Meter, people: Honest) -> Soak:
    rng = random.Random(seed)
    attacks = fitting()
    seen = Soak()
    honest_one = Target(server, "redis", False, 0, meter.said)
    talking = asyncio.create_task(_room(honest_one, seen))
    began = said = time.monotonic()
    try:
        while time.monotonic() - began < minutes * 60:
            attack, front = rng.choice(attacks)
            await _attack(server, attack, front, meter, seen)
            await asyncio.sleep(REST_SECONDS)
            with suppress(TimeoutError, *DROPPED):
                looking = Target(server, "redis", False, 0, meter.said)
                seen.samples.append(await _look(looking, meter, server.pid, began))
                await looking.close()
            if time.monotonic() - said > 30 or time.monotonic() - began > minutes * 60:
                said = time.monotonic()
                seen.waits.append(people.report())
                people.begin()
                print(_line(seen), flush=True)
    finally:
        talking.cancel()
        await honest_one.close()
    return seen


def _line(seen: Soak) -> str:
    one, waits = seen.samples[-1], seen.waits[-1]
    return (
        f"{one.minute:5.1f} min {one.memory:7.1f} MiB {one.descriptors:4} descriptors"
        f" {one.tasks:4} tasks {one.sessions:3} sessions; honest: p50 {waits.p50 * 1000:.1f} ms,"
        f" p99 {waits.p99 * 1000:.0f} ms, {seen.total('errors')} errors,"
        f" {seen.total('refused')} newcomers refused; {seen.attacks} attacks,"
        f" {len(seen.problems)} problems"
    )


def soak(minutes: float, seed: int = 16) -> bool:
    """Run it, and print what was seen; whether nothing grew and nothing went wrong."""
    load()
    attack = Attack("soak", "", _nothing, ("redis",), args=WORKERS)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(attack, "redis", Path(folder)) as server,
        honest(server.port, server.certificate) as people,
    ):
        meter = Meter(server.pid, server.log)
        meter.begin()
        people.begin()
        seen = asyncio.run(_run(minutes, seed, server, meter, people))
        cost = meter.end()
        said = meter.said().decode(errors="backslashreplace")
    samples = seen.samples
    print(f"{seen.attacks} attacks in {minutes} minutes, {len(samples)} looks; seed {seed}")
    grows = []
    for name, unit, most in FLAT:
        figures = [getattr(one, name) for one in samples]
        fifth = max(1, len(figures) // 5)
        early, late = median(figures[fifth : 2 * fifth]), median(figures[-fifth:])
        if late - early > most:
            grows.append(name)
        print(
            f"{name}: {figures[0]:.0f} at first, {max(figures):.0f} at most, {figures[-1]:.0f} at"
            f" last; median of the second fifth {early:.1f}, of the last {late:.1f};"
            f" {slope(samples, name):+.1f} {unit} in an hour"
            f"{' - it grows' if name in grows else ''}"
        )
    worst = max(one.p99 for one in seen.waits) * 1000
    usual = sorted(one.p99 for one in seen.waits)[len(seen.waits) // 2] * 1000
    print(
        f"honest sessions: {seen.total('echoes')} echoes, {seen.total('errors')} errors,"
        f" {seen.total('served')} newcomers served, {seen.total('refused')} refused; p99 of half a"
        f" minute: {usual:.0f} ms in the middle, {worst:.0f} ms at most;"
        f" {seen.heard} messages heard in the room"
    )
    print(f"log: {cost.log_lines} lines, {said.count('Traceback (most')} tracebacks")
    for problem in dict.fromkeys(seen.problems):
        print(f"{seen.problems.count(problem)} x {problem}")
    return not (seen.total("errors") or seen.total("refused") or seen.problems or grows)


async def _nothing(target: Target) -> None:
    """The server's own attack: none."""
