"""The event loop that threads share: calls, errors, forks, and when it ends."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from tests.sync.served import interrupted
from wsext.runtime.portal import Lease

who: ContextVar[str] = ContextVar("who")


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wsext"]


async def nothing() -> None:
    pass


@pytest.fixture
def lease() -> Iterator[Lease]:
    lease = Lease()
    yield lease
    lease.end()
    assert not loops()


def test_there_is_one_loop_as_long_as_anybody_needs_it() -> None:
    async def where() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        return threading.current_thread(), asyncio.get_running_loop()

    first, second = Lease(), Lease()
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda lease: lease.run(None, where), [first, second] * 8))
    assert [thread for thread, _ in places] == loops()
    first.end()
    first.end()  # does nothing
    assert second.run(None, where) in places
    second.end()
    assert not loops()
    assert first.run(None, where) not in places  # in another one, which ends at once
    assert not loops()


def test_a_call_has_the_callers_context_and_its_arguments(lease: Lease) -> None:
    async def greet(greeting: str, *, end: str) -> str:
        return f"{greeting} {who.get()}{end}"

    who.set("Ada")
    assert lease.run(1, greet, "hi", end="!") == "hi Ada!"


def test_an_error_has_no_frames_of_asyncio(lease: Lease) -> None:
    async def fail() -> None:
        async with asyncio.timeout(1):
            await asyncio.get_running_loop().run_in_executor(None, look)

    def look() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError) as raised:
        lease.run(1, fail)
    names = [entry.name for entry in raised.traceback]
    assert names[-2:] == ["fail", "look"]
    files = " ".join(str(entry.path) for entry in raised.traceback)
    assert not [part for part in ("asyncio", "anyio", "concurrent") if part in files]


def test_what_takes_too_long_is_cancelled(lease: Lease) -> None:
    ended = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError, match=r"longer than 0\.01 s") as raised:
        lease.run(0.01, wait)
    assert ended.is_set()
    assert raised.value.__cause__ is None


def test_a_timeout_of_the_work_itself_is_its_own(lease: Lease) -> None:
    async def fail() -> None:
        raise TimeoutError("the server does not answer")

    with pytest.raises(TimeoutError, match="server"):
        lease.run(1, fail)


def test_what_ctrl_c_cancels_has_ended_when_the_program_goes_on(lease: Lease) -> None:
    has_ended = False
    goes_on = threading.Event()

    async def work() -> None:
        nonlocal has_ended
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(goes_on.wait, 0.2)  # in vain
            has_ended = True

    with pytest.raises(KeyboardInterrupt), interrupted():
        lease.run(None, work)
    assert has_ended
    goes_on.set()


def test_ctrl_c_may_come_before_the_program_waits(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun = threading.Event()
    has_ended = False

    async def work() -> None:
        nonlocal has_ended
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            has_ended = True

    def begin(coroutine: Any, loop: asyncio.AbstractEventLoop) -> None:
        really_begin(coroutine, loop)
        has_begun.wait()
        monkeypatch.undo()
        raise KeyboardInterrupt

    really_begin = asyncio.run_coroutine_threadsafe
    lease.run(None, nothing)  # there is a loop
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", begin)
    with pytest.raises(KeyboardInterrupt):
        lease.run(None, work)
    assert has_ended


def test_the_loop_does_not_wait_for_itself(lease: Lease) -> None:

    async def again() -> None:
        lease.run(None, nothing)

    with pytest.raises(RuntimeError, match="would wait for itself"):
        lease.run(None, again)


@pytest.mark.parametrize("how", ["end", "forget"])
def test_what_is_open_is_closed_once(how: str) -> None:
    class Owner:
        pass

    closed = []

    async def close() -> None:
        closed.append(threading.current_thread().name)

    lease, owner = Lease(), Owner()
    lease.close_with(close, 1, owner)
    lease.run(None, nothing)
    (thread,) = loops()
    if how == "end":
        lease.end()
    del owner
    gc.collect()
    thread.join(10)
    assert closed == ["wsext"]
    assert lease.has_ended


def test_closing_has_its_time(caplog: pytest.LogCaptureFixture) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise ValueError("wrong")

    for farewell in (never, fail):
        lease = Lease()
        lease.close_with(farewell, 0.01)
        lease.end()
    assert not loops()
    assert [record.message for record in caplog.records] == ["closing failed"]
