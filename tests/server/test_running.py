"""Running a server: for a block, for as long as it is awaited, until a signal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.server.apps import echo, echo_app
from tests.waiting import until
from wsext import App, LifespanError, OptionError, Session
from wsext.app.application import Application
from wsext.rooms.backplanes.memory import MemoryBackplane
from wsext.server import running
from wsext.server.running import serve_until_signal


def remove_signal_handlers() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)


class Noted(MemoryBackplane):
    """A backplane that tells whether it runs."""

    running = False

    async def start(self, receiver: object) -> None:
        await super().start(receiver)  # type: ignore[arg-type]
        self.running = True

    async def close(self) -> None:
        await super().close()
        self.running = False


async def test_a_server_starts_its_backplane_and_stops_it() -> None:
    plane = Noted()
    app = App(backplane=plane)
    app.websocket("/")(echo)
    async with wsext.serve(app) as server:
        assert plane.running
        await server.start()  # a second start changes nothing
    assert not plane.running


async def test_a_server_that_cannot_listen_leaves_nothing_running() -> None:
    plane = Noted()
    async with wsext.serve(echo_app()) as other:
        with pytest.raises(OSError, match="in use"):
            await wsext.serve(App(backplane=plane), port=other.port)
    assert not plane.running
    with pytest.raises(OptionError, match="no backplane for"):
        await wsext.serve(App(backplane="nonsense://x"))


async def test_serve_can_be_awaited_and_served_forever() -> None:
    server = await wsext.serve(echo_app())
    serving = asyncio.create_task(server.serve_forever())
    async with wsext.connect(server.url) as session:
        serving.cancel()
        assert (await session.wait_closed()).code == 1001
    await asyncio.wait([serving])
    assert serving.cancelled()


@pytest.mark.skipif(sys.platform == "win32", reason="no signal handlers there")
async def test_a_signal_drains_and_a_second_one_aborts() -> None:
    started: asyncio.Queue[wsext.Server] = asyncio.Queue()
    app = App()

    @app.websocket("/")
    async def stuck(session: Session) -> None:
        await session.send("in")
        await session.wait_closed()

    serving = asyncio.create_task(
        serve_until_signal(app, "127.0.0.1", 0, started=started.put_nowait)
    )
    server = await started.get()
    session = await wsext.connect(server.url)
    assert await session.receive() == "in"
    session.hold_reading(30)  # it never sees the Close frame
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: server.draining)
    assert not serving.done()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(3):
        await serving
    remove_signal_handlers()
    session.abort()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal there")
@pytest.mark.parametrize("has_terminal", [True, False])
async def test_a_hangup_drains_where_there_is_a_terminal_and_changes_nothing_else(
    has_terminal: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missing = os.ctermid() + "/there-is-none"
    monkeypatch.setattr(os, "ctermid", lambda: os.devnull if has_terminal else missing)
    caplog.set_level("INFO", "wsext")
    started: asyncio.Queue[wsext.Server] = asyncio.Queue()
    serving = asyncio.create_task(
        serve_until_signal(App(), "127.0.0.1", 0, started=started.put_nowait)
    )
    server = await started.get()
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: bool(caplog.records))
    assert ("SIGHUP changes nothing" in caplog.text) is not has_terminal
    assert server.draining is has_terminal
    if not has_terminal:
        os.kill(os.getpid(), signal.SIGTERM)
    await serving
    remove_signal_handlers()


def test_an_app_runs_itself_until_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        running, "run_until_signal", lambda *args, **more: calls.append((args, more))
    )
    app = App()
    app.run(port=1, uds="/socket")
    assert calls == [((app, "127.0.0.1", 1), {"uds": "/socket"})]
    assert isinstance(app, Application)
    assert App.__doc__ == Application.__doc__


async def test_an_app_that_cannot_run_here_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"runs in this thread already: write `async with wsext"):
        App().run(port=0)
    with pytest.raises(RuntimeError, match=r"signals to the main thread only.*`async with wsext"):
        await asyncio.to_thread(App().run, port=0)


async def test_an_app_says_where_it_listens(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    app = App()
    app.install("permessage-deflate")
    for where in ({}, {"uds": str(tmp_path / "socket")}):
        serving = asyncio.create_task(serve_until_signal(app, "127.0.0.1", 0, **where))
        printed: list[str] = []

        def has_printed(printed: list[str] = printed) -> bool:
            printed += capsys.readouterr().out.splitlines()
            return len(printed) == 2

        await until(has_printed)
        serving.cancel()
        await asyncio.wait([serving])
        place = r"http://127\.0\.0\.1:\d+/" if not where else re.escape(f"ws+unix:{where['uds']}")
        assert re.fullmatch(rf"wsext {wsext.__version__} serves the app on {place}", printed[0])
        assert printed[1] == "extensions: permessage-deflate"
    remove_signal_handlers()


async def test_a_signal_ends_a_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "wsext.server")
    notes: list[str] = []
    app = App()
    begun = asyncio.Event()

    @app.lifespan
    async def slow(app: App) -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("cleaned up")
        yield

    serving = asyncio.create_task(serve_until_signal(app, "127.0.0.1", 0))
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(3):
        await serving
    assert notes == ["cleaned up"]
    assert "stopped before it served" in caplog.text
    remove_signal_handlers()


def test_an_app_that_fails_ends_with_1_and_says_why_once(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.lifespan
    async def prices(app: App) -> AsyncIterator[None]:
        async def fail() -> None:
            raise LookupError("no prices")

        app.create_task(fail(), name="prices")
        yield

    with pytest.raises(SystemExit) as ended:
        app.run(port=0)
    assert ended.value.code == 1
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert record.getMessage() == "task prices failed: LookupError('no prices')"


async def test_a_task_that_fails_ends_what_serves_until_a_signal() -> None:
    started: asyncio.Queue[wsext.Server] = asyncio.Queue()
    app = App()
    app.websocket("/")(wsext.Session.wait_closed)
    serving = asyncio.create_task(
        serve_until_signal(app, "127.0.0.1", 0, started=started.put_nowait)
    )
    server = await started.get()

    async def fail() -> None:
        raise LookupError("no prices")

    async with wsext.connect(server.url) as session:
        app.create_task(fail(), name="prices")
        assert (await session.wait_closed()).code == 1001
    with pytest.raises(LifespanError, match="task prices failed"):
        await serving
    remove_signal_handlers()
