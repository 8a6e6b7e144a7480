"""Attacks on a server with workers: what happens when one of them stands still or dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from tests.attack.meter import tree
from tests.attack.registry import Run, attack
from tests.attack.target import DROPPED, Target

PROMISE = "a worker that stands still or dies"


async def _workers(target: Target) -> list[int]:
    """The processes that serve, without the supervisor."""
    found = tree(target.server.pid)[1:]
    return [pid for pid in found if pid != target.server.pid]


async def _answered(target: Target, count: int) -> int:
    """How many of so many new sessions are served within two seconds."""

    async def one(number: int) -> None:
        async with asyncio.timeout(2):
            (await target.websocket()).close()

    async def bounded(number: int) -> bool:
        with suppress(*DROPPED, TimeoutError):
            await one(number)
            return True
        return False

    return sum(await target.each(count, bounded, at_once=10))


def hanging(name: str) -> Callable[[Run], Run]:
    """An attack that makes a worker hang."""
    return attack(
        name,
        PROMISE,
        fronts=("workers",),
        sessions=4,
        options={"server.worker_timeout": 2},
        newcomers=False,
        ends_sessions=True,
        seconds=8,
        at_least=6,  # until it counts as hanging, and another one has started
        short=False,
    )


@hanging("a worker that is stopped")
async def stopped_worker(target: Target) -> None:
    victim = (await _workers(target))[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        await target.rest()
        assert victim not in await _workers(target), "the stopped worker was not replaced"
        served = await _answered(target, 40)
        assert served == 40, f"{served} of 40 sessions were served"
    finally:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)


@hanging("a worker whose event loop is blocked")
async def blocked_worker(target: Target) -> None:
    before = await _workers(target)
    await target.websocket("/block")
    await target.rest()
    assert len(set(await _workers(target)) & set(before)) == 1, "the worker was not replaced"
    served = await _answered(target, 40)
    assert served == 40, f"{served} of 40 sessions were served"


@attack(
    "a worker that is killed during handshakes",
    PROMISE,
    fronts=("workers",),
    sessions=4,
    newcomers=False,
    ends_sessions=True,
    seconds=4,
    short=False,
)
async def killed_worker(target: Target) -> None:
    load = target.start(_answered(target, 500))
    await asyncio.sleep(0.3)
    os.kill((await _workers(target))[0], signal.SIGKILL)
    served = await load
    await target.rest()
    assert served >= 490, f"{served} of 500 handshakes were served"
