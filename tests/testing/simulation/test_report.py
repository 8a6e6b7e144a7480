"""What a task waits for is said with the calls that it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from wsext import testing
from wsext.testing.simulation.report import describe_task


async def described(work: Coroutine[Any, Any, Any], **options: Any) -> str:
    task = asyncio.create_task(work, name="the one")
    await asyncio.sleep(0)
    try:
        return describe_task(task, **options)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def inner(future: asyncio.Future[None]) -> None:
    await future


async def outer(future: asyncio.Future[None]) -> None:
    await inner(future)


async def test_the_calls_go_from_the_outermost_to_the_innermost() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    text = await described(outer(future), futures={future: "here.py:7"})
    first, second, third, last = text.splitlines()
    assert first == "task 'the one' waits:"
    assert "in outer (" in second
    assert "in inner (" in third
    assert "test_report.py:" in third
    assert last == "    for a future made at here.py:7"


async def test_a_task_that_is_waited_for_has_its_name() -> None:
    other = asyncio.create_task(asyncio.Event().wait(), name="the other")

    async def wait() -> None:
        await other

    assert (await described(wait())).endswith("for the task 'the other'")
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other


async def test_it_looks_through_what_a_session_waits_with() -> None:
    async with testing.pair() as (client, _):

        async def read() -> None:
            await client.receive()

        text = await described(read())
    assert "test_it_looks_through" in text
    assert ".read (" in text
    assert text.splitlines()[-1].startswith("    for a ")
