"""A handler that is resumed by the read that has its message is a task like any other."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import anyio
import pytest

import wsext
from wsext import App, Session
from wsext.runtime.drive import Drive
from wsext.runtime.inbox import Inbox

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def echoes(app: App, *messages: str) -> list[Any]:
    """What a server answers to each message."""
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url) as session,
    ):
        answers = []
        for message in messages:
            await session.send(message)
            answers.append(await session.receive())
        return answers


async def test_it_is_the_current_task_and_keeps_its_context() -> None:
    app = App()
    tasks = set()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async for message in session:
            tasks.add(asyncio.current_task())
            before = variable.get()
            variable.set(message)
            if message == "wait":
                await asyncio.sleep(0)  # its task takes over, in the same context
            await session.send(f"{before} {variable.get()}")

    assert await echoes(app, "a", "wait", "b", "c") == ["unset a", "a wait", "wait b", "b c"]
    assert len(tasks) == 1
    assert None not in tasks


async def test_timeouts_work_while_it_waits_for_a_message() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send(await session.receive())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await session.receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.receive(), 0.01)
        await session.send("timed out twice")
        await session.send(await session.receive())

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send("one")
        assert await session.receive() == "one"
        assert await session.receive() == "timed out twice"
        await session.send("two")  # nothing is lost by it
        assert await session.receive() == "two"


async def test_cancel_scopes_of_anyio_end_where_they_should() -> None:
    """They know their own cancellation by its message."""
    app = App()
    caught = []

    @app.websocket("/")
    async def handler(session: Session) -> None:
        for _ in range(2):
            with anyio.move_on_after(0.01) as scope:
                await session.receive()
            caught.append(scope.cancelled_caught)
        await session.send("moved on twice")
        await session.send(await session.receive())

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        assert await session.receive() == "moved on twice"
        with anyio.move_on_after(0.01) as scope:
            await session.receive()
        assert [*caught, scope.cancelled_caught] == [True] * 3
        await session.send("x")
        assert await session.receive() == "x"


async def test_an_exception_ends_it_as_any_other() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.receive()
        raise PermissionError

    app.map_exception(PermissionError, 4403, "forbidden")
    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send("x")
        with pytest.raises(wsext.ConnectionClosed):
            await session.receive()
        assert session.close_info.remote == (4403, "forbidden")


async def test_several_readers_each_get_one_message() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(session.receive()) for _ in range(3)]
        await session.send(" ".join(sorted(str(reader.result()) for reader in readers)))

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        for message in "abc":
            await session.send(message)
        assert await session.receive() == "a b c"


async def test_a_reader_that_is_cancelled_takes_no_message_with_it() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        first = asyncio.create_task(session.receive())
        await asyncio.sleep(0)
        first.cancel()
        await session.send(f"cancelled: {await asyncio.gather(first, return_exceptions=True)!r}")
        await session.send(await session.receive())

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        assert "CancelledError" in str(await session.receive())
        await session.send("kept")
        assert await session.receive() == "kept"


class Probe:
    """An inbox with readers in tasks, and items put by hand."""

    def __init__(self) -> None:
        self.inbox = Inbox(10, 1000, lambda: None)

    def put(self, *texts: str) -> None:
        for text in texts:
            self.inbox.put(wsext.Message(text, len(text)))
        self.inbox.wake(len(texts))


async def test_the_task_takes_over_and_gives_back() -> None:
    probe = Probe()
    seen: list[str] = []
    has_seen = asyncio.Event()

    async def work() -> str:
        seen.append(await probe.inbox.data())
        has_seen.set()
        await asyncio.sleep(0)
        seen.append(await probe.inbox.data())
        return "result"

    async def run() -> str:
        return str(await Drive(work()))

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(probe.put, "a")
    await has_seen.wait()
    probe.put("b")  # from within a task: it cannot be entered now, and is resumed later
    assert await task == "result"
    assert seen == ["a", "b"]


@pytest.mark.parametrize("resumed", [False, True])
async def test_cancelling_reaches_what_it_waits_for(resumed: bool) -> None:
    probe = Probe()
    inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def work() -> None:
        try:
            await probe.inbox.data()
            seen.append("message")
            await inner
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        await Drive(work())

    task = asyncio.create_task(run())
    await asyncio.sleep(0)

    def resume_and_cancel() -> None:
        if resumed:
            probe.put("x")
        task.cancel()

    asyncio.get_running_loop().call_soon(resume_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == (["message", "cancelled"] if resumed else ["cancelled"])
    assert inner.cancelled() is resumed


@pytest.mark.parametrize("driven", [False, True])
async def test_the_message_of_a_cancellation_arrives(driven: bool) -> None:
    inbox = Probe().inbox
    task = asyncio.create_task(Drive(inbox.data()) if driven else inbox.data())
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
