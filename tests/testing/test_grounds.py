"""The ground of asyncio: cases run on a loop of their own, and not for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wsext.testing.grounds import OnAsyncio


def test_a_case_runs_to_its_end_whatever_runs_the_tests() -> None:
    done: list[str] = []

    async def case() -> None:
        async with OnAsyncio.pair() as (client, server):
            await OnAsyncio().say(client, ["a", "b"])

            async def read() -> None:
                done.append(await server.receive())

            await OnAsyncio().both(read, client.close)

    OnAsyncio().run(case())
    assert done == ["a"]


def test_a_case_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsext.testing.grounds._PATIENCE", 0.01)

    async def case() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        OnAsyncio().run(case())
