"""The event loop: uvloop's when it is installed."""

from __future__ import annotations

import asyncio
import sys

import pytest

from wsext.runtime.loop import (
    need_running_loop,
    new_event_loop,
    refuse_other_thread,
    refuse_running_loop,
    start,
)


def test_without_uvloop_it_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()


def test_with_uvloop_it_is_uvloops() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()


def test_who_needs_a_running_loop_is_told_what_to_do() -> None:
    with pytest.raises(
        RuntimeError, match=r"Server\(app\) needs a running event loop.*asyncio.run"
    ):
        need_running_loop("Server(app)")
    refuse_running_loop("app.run()", "do this")  # none runs


async def test_who_runs_a_loop_cannot_run_in_one() -> None:
    assert need_running_loop("Server(app)").is_running()
    with pytest.raises(
        RuntimeError, match=r"^app.run\(\) runs an event loop of its own.*: do this$"
    ):
        refuse_running_loop("app.run()", "do this")


async def test_who_would_race_with_a_loop_is_told_what_to_call() -> None:
    loop = asyncio.get_running_loop()
    refuse_other_thread(loop, "room.broadcast_nowait")
    with pytest.raises(
        RuntimeError,
        match=r"^room.broadcast_nowait was called .*soon_threadsafe\(room.broadcast_nowait, ...\)"
        r" or asyncio.run_coroutine_threadsafe\(room.broadcast\(...\), loop\).result",
    ):
        await asyncio.to_thread(refuse_other_thread, loop, "room.broadcast_nowait")
    with pytest.raises(RuntimeError, match=r"call_soon_threadsafe\(session.abort, ...\); "):
        await asyncio.to_thread(refuse_other_thread, loop, "session.abort")
    resting = asyncio.new_event_loop()
    refuse_other_thread(resting, "session.abort")  # with which nothing can race
    resting.close()


@pytest.mark.parametrize("is_eager", [False, True])
async def test_a_task_begins_after_whoever_starts_it_has_it(is_eager: bool) -> None:
    loop = asyncio.get_running_loop()
    if is_eager:
        loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    kept: list[asyncio.Task[int]] = []

    async def work() -> int:
        assert kept == [asyncio.current_task()]
        return 7

    kept.append(start(loop, work()))
    loop.set_task_factory(None)
    assert await kept[0] == 7
