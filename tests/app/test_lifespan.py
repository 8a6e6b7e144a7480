"""The life of an app: what begins before its first connection, and ends after its last handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import wsext
from wsext import App, LifespanError, Router, Session, hookimpl, testing


class Database:
    """What an app needs to be there."""

    def __init__(self) -> None:
        self.open = True


def noting(notes: list[str], name: str) -> Callable[[App], AsyncIterator[None]]:
    """A lifespan that notes its beginning and its end."""

    async def lifespan(app: App) -> AsyncIterator[None]:
        notes.append(f"+{name}")
        yield
        notes.append(f"-{name}")

    return lifespan


def failing(when: str) -> Callable[[App], AsyncIterator[None]]:
    """A lifespan that raises before its yield, or behind it."""

    async def database(app: App) -> AsyncIterator[None]:
        if when == "start":
            raise ConnectionRefusedError("no database")
        yield
        raise OSError("cannot flush")

    return database


async def forever(notes: list[str] | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if notes is not None:
            notes.append("-task")


async def test_everything_ends_in_the_reverse_of_the_order_in_which_it_began() -> None:
    notes: list[str] = []
    app = App(lifespan=noting(notes, "first"))

    @app.lifespan
    async def second(app: App) -> AsyncIterator[None]:
        app.state[Database] = Database()
        app.create_task(forever(notes), name="forever")
        async with asyncio.timeout(60), asyncio.TaskGroup():  # left in the task that has entered
            yield
        notes.append("-second")

    @app.websocket("/")
    async def handler(session: Session) -> None:
        database: Database = session.request.app.state[Database]
        await session.send(str(database.open))
        try:
            await session.wait_closed()
        finally:
            notes.append("-handler")

    for _ in range(2):  # an app may be served again
        async with wsext.serve(app) as server:
            session = await wsext.connect(server.url)
            assert await session.receive() == "True"
        assert notes == ["+first", "-handler", "-task", "-second", "-first"]
        notes.clear()


async def test_it_runs_once_for_all_servers_and_clients_of_a_process() -> None:
    notes: list[str] = []
    app = App(lifespan=noting(notes, "app"))
    app.websocket("/")(wsext.Session.wait_closed)
    async with AsyncExitStack() as stack:
        servers = [wsext.serve(app) for _ in range(3)]
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        await stack.enter_async_context(testing.connect(app))
        await stack.enter_async_context(app.running())
        assert notes == ["+app"]
    assert notes == ["+app", "-app"]


async def test_tests_run_it() -> None:
    notes: list[str] = []
    app = App(lifespan=noting(notes, "app"))
    app.websocket("/")(wsext.Session.wait_closed)
    async with testing.connect(app):
        assert notes == ["+app"]
    async with testing.raw_peer(app):
        pass
    assert notes == ["+app", "-app"] * 2


def test_a_simulated_world_runs_it() -> None:
    notes: list[str] = []
    app = App(lifespan=noting(notes, "app"))

    @app.lifespan
    async def ticking(app: App) -> AsyncIterator[None]:
        app.create_task(forever(notes))
        await asyncio.sleep(3600)
        yield

    app.websocket("/")(wsext.Session.wait_closed)

    async def scenario(world: testing.World) -> None:
        async with world.connect(await world.serve(app)):
            pass

    testing.simulate(scenario, 1)
    assert notes == ["+app", "-task", "-app"]


async def test_routers_bring_theirs_along_once() -> None:
    notes: list[str] = []
    router = Router()
    router.lifespan(noting(notes, "router"))
    app = App()
    app.include(router, "/a")
    app.include(router, "/b")
    async with app.running():
        assert notes == ["+router"]
        with pytest.raises(RuntimeError, match="runs already"):
            app.lifespan(noting(notes, "late"))


async def test_plugins_bring_theirs() -> None:
    notes: list[str] = []

    class Plugin:
        @hookimpl
        def wsext_routes(self, app: App) -> None:
            app.lifespan(noting(notes, "plugin"))

    app = App()
    app.install(Plugin())
    async with wsext.serve(app):
        assert notes == ["+plugin"]


async def test_a_context_manager_is_one_too() -> None:
    notes: list[str] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        notes.append("+")
        yield
        notes.append("-")

    async with App(lifespan=lifespan).running():
        assert notes == ["+"]
    assert notes == ["+", "-"]


async def coroutine(app: App) -> None:
    """Has no yield."""


def generator(app: App) -> Any:
    yield


async def without_app() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("function", [coroutine, generator, without_app, 3])
def test_what_is_no_lifespan_is_told_how_to_be_one(function: Any) -> None:
    with pytest.raises(TypeError, match=r"is no lifespan; write: async def \w+\(app\), with a"):
        App().lifespan(function)


async def test_what_a_lifespan_yields_would_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    ended: list[bool] = []

    @app.lifespan  # type: ignore[arg-type]
    async def state(app: App) -> AsyncIterator[dict[str, int]]:
        try:
            yield {"database": 1}
        finally:
            ended.append(True)

    with pytest.raises(LifespanError, match=r"state failed to start: .*the dict that it yields"):
        await wsext.serve(app)
    assert ended


def test_state_is_typed() -> None:
    app = App()
    with pytest.raises(KeyError, match=r"nothing has set app\.state\[Database\]: a lifespan may"):
        _ = app.state[Database]
    with pytest.raises(TypeError, match=r"app\.state\[Database\] cannot be 3"):
        app.state[Database] = 3
    database = app.state[Database] = Database()
    assert app.state[Database] is database


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "cause"), [("start", ConnectionRefusedError), ("end", OSError)])
async def test_a_failure_is_named_and_the_others_end(
    when: str, cause: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[str] = []
    app = App()

    @app.lifespan
    async def outer(app: App) -> AsyncIterator[None]:
        app.create_task(forever(notes))
        await asyncio.sleep(0)  # the task begins
        try:
            yield
        finally:
            notes.append("-outer")

    app.lifespan(failing(when))
    with pytest.raises(LifespanError) as caught:
        async with wsext.serve(app):
            notes.append("served")
    assert notes == ([] if when == "start" else ["served"]) + ["-task", "-outer"]
    assert str(caught.value).startswith(f"lifespan {__name__}.failing.<locals>.database failed to")
    assert caught.value.problem == f"failed to {when}"
    assert isinstance(caught.value.__cause__, cause)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is caught.value.__cause__


async def test_a_lifespan_that_is_cancelled_by_what_it_waits_for_has_failed() -> None:
    app = App()

    @app.lifespan
    async def waiting(app: App) -> AsyncIterator[None]:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never
        yield

    with pytest.raises(LifespanError, match="waiting was cancelled"):
        await wsext.serve(app)


async def test_a_start_that_is_given_up_leaves_nothing_running() -> None:
    notes: list[str] = []
    app = App(lifespan=noting(notes, "first"))
    begun = asyncio.Event()

    @app.lifespan
    async def slow(app: App) -> AsyncIterator[None]:
        begun.set()
        await forever(notes)
        yield

    starting = asyncio.ensure_future(wsext.serve(app).__aenter__())
    await begun.wait()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert notes == ["+first", "-task"]  # a lifespan gets the cancellation at its yield
    assert not app.life.has_begun


async def fail(when: asyncio.Event) -> None:
    await when.wait()
    raise ValueError("a price below zero")


async def test_a_task_that_fails_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    due = asyncio.Event()

    @app.lifespan
    async def prices(app: App) -> AsyncIterator[None]:
        app.create_task(fail(due), name="prices")
        app.create_task(asyncio.sleep(0), name="one that ends is no matter")
        yield

    app.websocket("/")(wsext.Session.wait_closed)
    other = await wsext.serve(app)
    server = await wsext.serve(app)
    async with wsext.connect(server.url) as session:
        due.set()
        assert (await session.wait_closed()).code == 1001
    with pytest.raises(LifespanError, match="task prices failed: ValueError"):
        await server.wait_closed()
    with pytest.raises(LifespanError):
        await other.wait_closed()  # nor does another one go on without the task
    assert [record.getMessage() for record in caplog.records if record.name == "wsext.app"] == [
        "task prices failed: ValueError('a price below zero')"
    ]


async def test_a_task_group_of_a_lifespan_that_fails_ends_the_server() -> None:
    app = App()
    due = asyncio.Event()

    @app.lifespan
    async def feeds(app: App) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(due))
            yield

    app.websocket("/")(wsext.Session.wait_closed)
    server = await wsext.serve(app)
    async with wsext.connect(server.url) as session:
        due.set()
        assert (await session.wait_closed()).code == 1001
    with pytest.raises(LifespanError, match="feeds failed: ExceptionGroup") as caught:
        await server.wait_closed()
    assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_a_task_that_fails_while_lifespans_start_ends_the_start() -> None:
    app = App()

    @app.lifespan
    async def prices(app: App) -> AsyncIterator[None]:
        due = asyncio.Event()
        app.create_task(fail(due), name="prices")
        due.set()
        await forever()
        yield

    with pytest.raises(LifespanError, match="task prices failed"):
        await wsext.serve(app)
    with pytest.raises(LifespanError, match="task prices failed"):
        async with app.running():
            pass


async def test_tasks_need_an_app_that_runs() -> None:
    app = App()
    with pytest.raises(RuntimeError, match=r"does not run: begin its tasks in a lifespan"):
        app.create_task(forever())
    async with app.running():
        task = app.create_task(forever())
        with pytest.raises(RuntimeError, match=r"app\.create_task was called in another thread"):
            await asyncio.to_thread(app.create_task, forever())
    assert task.cancelled()


def test_what_does_not_end_is_named_and_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """In virtual time: who takes longer than it may."""
    notes: list[str] = []
    app = App(lifespan=noting(notes, "outer"))

    async def stubborn() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(60)

    @app.lifespan
    async def slow(app: App) -> AsyncIterator[None]:
        app.create_task(stubborn(), name="stubborn")
        yield

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        began = asyncio.get_running_loop().time()
        await server.close(0)
        assert asyncio.get_running_loop().time() - began < 5
        await asyncio.sleep(60)

    caplog.set_level(logging.ERROR)
    testing.simulate(scenario, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "task stubborn did not end in time: cancelled"
    ]


async def test_who_is_in_a_hurry_cancels_what_ends_slowly(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    ending = asyncio.Event()

    @app.lifespan
    async def slow(app: App) -> AsyncIterator[None]:
        yield
        ending.set()
        await forever()

    async with wsext.serve(app) as server:
        closing = asyncio.create_task(server.close())
        await ending.wait()
        server.abort()
        await closing
    assert "slow did not end in time: cancelled" in caplog.text
