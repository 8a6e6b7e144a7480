"""One attack from its start to its verdict."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.attack.fronts import FRONTS, Serving, serving
from tests.attack.honest import Honest, Waits, honest
from tests.attack.meter import MIB, Cost, Meter, tree
from tests.attack.peers import Spent
from tests.attack.registry import Attack
from tests.attack.target import DROPPED, Target

__all__ = ["Bounds", "Bystanders", "Result", "bystanders", "judge", "run"]


@dataclass(frozen=True)
class Bounds:
    """What an attack may cost; bytes and seconds."""

    per_session: int = 8 * MIB
    in_all: int = 64 * MIB
    left: int = 32 * MIB
    log_lines: int = 100
    p99: float = 0.05
    newcomer: float = 2.0
    refused: int = 0
    descriptors_left: int = 8


@dataclass
class Result:
    """What an attack has cost both sides."""

    attack: Attack
    front: str
    spent: Spent
    cost: Cost
    waits: Waits
    memory_left: int = 0
    descriptors_left: int = 0
    sessions_left: int = 0
    said: list[str] = field(default_factory=list)  # the first lines of the log
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems


@dataclass
class Bystanders:
    """A server, who watches it, and the honest sessions that it serves."""

    server: Serving
    meter: Meter
    honest: Honest


@contextmanager
def bystanders(attack: Attack, front: str) -> Iterator[Bystanders]:
    """What an attack needs around it; it can be used for all attacks of the same key."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(attack, front, Path(folder)) as server,
        honest(server.port, server.certificate) as people,
    ):
        yield Bystanders(server, Meter(server.pid, server.log), people)


async def run(
    attack: Attack,
    front: str,
    around: Bystanders,
    *,
    seconds: float,
    rest: float = 5.0,
    bounds: Bounds = Bounds(),
) -> Result:
    """Attack for some seconds, look, wait for ``rest`` seconds or less, and look again.

    Without a rest, it is waited at most five seconds for what is promised to be so.
    """
    server, meter = around.server, around.meter
    seconds = max(seconds, attack.at_least)
    before = await _state(server, attack, front)
    meter.begin()
    around.honest.begin()
    target = Target(server, front, FRONTS[front].http2, seconds, meter.said)
    problems: list[str] = []
    try:
        async with asyncio.timeout(seconds + 15):
            await attack.run(target)
    except AssertionError as error:
        problems.append(f"not what is promised: {str(error).partition(chr(10))[0]}")
    except (*DROPPED, TimeoutError) as error:
        problems.append(f"the attack broke off: {error!r}")
    finally:
        waits = around.honest.report()
        await target.close()
        cost = meter.end()
    result = Result(attack, front, target.spent, cost, waits, problems=problems)
    await _recover(result, around, before, rest, bounds)
    problems += judge(result, bounds)
    said = meter.said()
    result.said = said[:8000].decode(errors="backslashreplace").splitlines()
    if b"Traceback (most recent call last)" in said:
        problems.append("a traceback in the log")
    return result


async def _state(server: Serving, attack: Attack, front: str) -> dict[str, int] | None:
    target = Target(server, front, False, 1, bytes)
    workers = tree(server.pid)[1:] if "--workers" in FRONTS[front].args + attack.args else []
    try:
        return await target.state(workers)
    except (*DROPPED, TimeoutError, ValueError):
        return None
    finally:
        await target.close()


async def _recover(
    result: Result,
    around: Bystanders,
    before: dict[str, int] | None,
    rest: float,
    bounds: Bounds,
) -> None:
    """Look at what is left."""
    meter = around.meter
    for look in range(20 if not rest else 1):
        await asyncio.sleep(rest or 0.025 * look)  # about five seconds in all
        now = await _state(around.server, result.attack, result.front)
        result.memory_left = meter.memory() - meter.memory_before
        result.descriptors_left = meter.descriptors() - meter.descriptors_before
        if now is not None and before is not None:
            result.sessions_left = now["sessions"] - before["sessions"]
            if not rest and not _left(result, bounds):
                return
    if now is None:
        result.problems.append("the server does not answer afterwards")


def _left(result: Result, bounds: Bounds) -> list[str]:
    """What is left and must not be."""
    return [
        text
        for text, is_so in (
            (f"{result.memory_left / MIB:.0f} MiB left", result.memory_left > bounds.left),
            (
                f"{result.descriptors_left} descriptors left",
                result.descriptors_left > bounds.descriptors_left,
            ),
            (f"{result.sessions_left} sessions left", result.sessions_left > 0),
        )
        if is_so
    ]


def judge(result: Result, bounds: Bounds) -> list[str]:
    """Each promise that did not hold, with its figure."""
    cost, waits, attack = result.cost, result.waits, result.attack
    memory = min(max(attack.sessions, 1) * bounds.per_session, bounds.in_all)
    found = (
        (f"{cost.memory / MIB:.0f} MiB of memory", cost.memory > memory),
        (
            f"{cost.log_lines} lines of log",
            cost.log_lines > bounds.log_lines * max(1.0, cost.seconds / 60),
        ),
        (f"honest sessions' p99 is {waits.p99 * 1000:.0f} ms", waits.p99 > bounds.p99),
        (
            f"{waits.errors} errors of honest sessions",
            waits.errors > 0 and not attack.ends_sessions,
        ),
        ("honest sessions got no echo", waits.echoes == 0),
        (f"{waits.refused} newcomers refused", attack.newcomers and waits.refused > bounds.refused),
        (
            f"a newcomer waited {waits.newcomer:.1f} s",
            attack.newcomers and waits.newcomer > bounds.newcomer,
        ),
    )
    return [text for text, is_so in found if is_so] + _left(result, bounds)
