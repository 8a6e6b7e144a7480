"""What is told of messages without a coroutine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext
from wsext import (
    App,
    CloseInfo,
    Listener,
    Session,
)


async def test_a_listener_is_called_for_everything() -> None:
    app = App()
    seen: list[Any] = []
    closed = asyncio.Event()

    @app.websocket("/")
    class Echo(Listener):
        def on_open(self, session: Session) -> None:
            seen.append("open")

        def on_message(self, session: Session, message: str | bytes) -> None:
            seen.append(message)
            session.send_nowait(message)

        def on_close(self, session: Session, info: CloseInfo) -> None:
            seen.append(info.code)
            closed.set()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send("a")
        await session.send(b"b")
        assert [await session.receive(), await session.receive()] == ["a", b"b"]
        await session.close(3000)
        await closed.wait()
    assert seen == ["open", "a", b"b", 3000]


async def test_a_listener_that_fails_is_1011(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.websocket("/")
    class Bad(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            raise RuntimeError("oops")

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send("a")
        assert (await session.wait_closed()).code == 1011
    assert "oops" in caplog.text
