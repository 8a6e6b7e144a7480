"""Handlers and how they end: whatever fails, the session is closed and the counters come back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import pytest

import wsext
from tests.extensions import Append
from tests.raw import fetch
from tests.server.apps import admitted, echo, echo_app, refused
from wsext import (
    Agreement,
    App,
    Listener,
    NegotiationContext,
    Params,
    Request,
    ServerOptions,
    Session,
    hookimpl,
)


async def test_one_failing_handler_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = echo_app()

    @app.websocket("/bad")
    async def bad(session: Session) -> None:
        raise RuntimeError("bad")

    @app.http("/crash")
    def crash(request: Request) -> str:
        raise RuntimeError("secret text")

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        async with wsext.connect(f"{server.url}/bad") as other:
            await other.wait_closed()
        status, _, body = await fetch(server.port, b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, body) == (500, b"internal server error\n")
        await session.send("fine")
        assert await session.receive() == "fine"


# --- whatever fails ---------------------------------------------------------------------------


class Ends:
    """A plugin that counts the sessions that opened and ended."""

    def __init__(self) -> None:
        self.opened = 0
        self.codes: list[int] = []

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        self.opened += 1

    @hookimpl
    def wsext_session_closed(self, session: Session, info: wsext.CloseInfo) -> None:
        self.codes.append(info.code)


class Counted(Append):
    """Keeps the codecs that it makes."""

    codecs: ClassVar[list[Any]] = []

    def accept(self, offer: Params, ctx: NegotiationContext) -> Any:
        answer = super().accept(offer, ctx)
        if isinstance(answer, Agreement):
            self.codecs.append(answer.codec)
        return answer


def failing_app() -> tuple[App, Ends]:
    """An app with one place, whose handlers fail in every way there is."""
    app, ends = App(server=ServerOptions(max_connections=1)), Ends()
    app.install(ends)
    app.install(Counted)
    app.map_exception(PermissionError, 4403, "forbidden")

    @app.websocket("/constructor")
    class Constructor(Listener):
        def __init__(self) -> None:
            raise RuntimeError("bad")

    @app.websocket("/mapped-constructor")
    class Mapped(Listener):
        def __init__(self) -> None:
            raise PermissionError

    @app.websocket("/coroutine")
    async def coroutine(session: Session) -> None:
        raise RuntimeError("bad")

    @app.websocket("/mapped")
    async def mapped(session: Session) -> None:
        raise PermissionError

    @app.websocket("/cancelled")
    async def cancelled(session: Session) -> None:
        raise asyncio.CancelledError

    @app.websocket("/task")
    async def task(session: Session) -> None:
        async def fail() -> None:
            raise RuntimeError("bad")

        session.create_task(fail())
        await session.wait_closed()

    app.websocket("/")(echo)
    return app, ends


@pytest.mark.parametrize(
    ("path", "code", "errors"),
    [
        ("/constructor", 1011, 1),
        ("/mapped-constructor", 4403, 0),
        ("/coroutine", 1011, 1),
        ("/mapped", 4403, 0),
        ("/cancelled", 1006, 0),
        ("/task", 1011, 1),
    ],
)
async def test_what_fails_ends_its_session_and_everything_comes_back(
    path: str, code: int, errors: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wsext.access")
    app, ends = failing_app()
    Counted.codecs.clear()
    async with wsext.serve(app) as server:
        async with wsext.connect(server.url + path, extensions=[Append]) as session:
            assert (await session.wait_closed()).code == code
        await server.wait_idle(5)
        assert not server.sessions
        again = await admitted(server.url)  # the one place is free again
        await again.close()
    assert (ends.opened, len(ends.codes)) == (2, 2)
    assert [codec.closed for codec in Counted.codecs] == [1]
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == errors, logged
    log = [r.getMessage() for r in caplog.records if r.name == "wsext.access"]
    assert sum(f" {path} ended with " in line for line in log) == 1


async def test_a_session_that_cannot_be_made_is_a_500_and_its_codecs_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(Append):
        def accept(self, offer: Params, ctx: NegotiationContext) -> Any:
            codecs.append(super().accept(offer, ctx).codec)  # type: ignore[union-attr]
            return Agreement(codecs[-1], Params(suffix="end"))

    codecs: list[Any] = []
    app = echo_app()
    app.install(Odd)
    Odd.rsv = "none"  # type: ignore[assignment]  # fails when the pipeline is made
    async with wsext.serve(app) as server:
        error = await refused(server.url, extensions=[Append])
        assert (error.status, error.body) == (500, b"internal server error\n")
        assert not server.sessions
    assert [codec.closed for codec in codecs] == [1]
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
