"""What ends with a session."""

from __future__ import annotations

import asyncio

import pytest

import wsext
from tests.extensions import Append
from tests.runtime.sessions import echo_app
from wsext import (
    App,
    Session,
)


async def test_tasks_of_a_session_end_with_it(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    cancelled = asyncio.Event()

    async def ticker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def failing() -> None:
        raise RuntimeError("in a task")

    @app.websocket("/")
    async def handler(session: Session) -> None:
        session.create_task(ticker())
        await session.receive()
        session.create_task(failing())
        await session.receive()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send("go")
        assert (await session.wait_closed()).code == 1011
        await cancelled.wait()
    assert "in a task" in caplog.text


async def test_codecs_are_closed_once_however_the_session_ends() -> None:
    app = echo_app()
    app.install(Append)
    codecs = []
    async with wsext.serve(app) as server:
        for end in ("close", "abort"):
            async with wsext.connect(server.url, extensions=[Append]) as session:
                (on_server,) = server.sessions
                codecs += [item.extensions[0].codec for item in (session, on_server)]
                if end == "abort":
                    session.abort()
                else:
                    await session.close()
                await on_server.wait_closed()
    assert [codec.closed for codec in codecs] == [1, 1, 1, 1]
