"""How an application's failures end a session."""

from __future__ import annotations

import pytest

import wsext
from wsext import (
    App,
    ConnectionClosedError,
    RemoteProtocolError,
    Session,
)


async def test_an_exception_is_1011_and_its_text_stays_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        raise RuntimeError("the password is hunter2")

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        info = await session.wait_closed()
    assert info.remote == (1011, "internal error")
    assert "hunter2" in caplog.text
    with pytest.raises(ConnectionClosedError, match="1011"):
        async for _ in session:
            pass


async def test_exceptions_are_mapped_to_codes() -> None:
    app = App()

    class Wait(Exception):
        seconds = 7

    app.map_exception(LookupError, 4404, "no such thing")

    @app.map_exception(Wait)
    def wait(error: Wait) -> tuple[int, str]:
        return 1013, f"in {error.seconds} s"

    @app.websocket("/<kind>")
    async def handler(session: Session, kind: str) -> None:
        raise {"key": KeyError("x"), "wait": Wait(), "own": RemoteProtocolError(1008, "no")}[kind]

    async with wsext.serve(app) as server:
        for kind, expected in (
            ("key", (4404, "no such thing")),
            ("wait", (1013, "in 7 s")),
            ("own", (1008, "no")),
        ):
            async with wsext.connect(f"{server.url}/{kind}") as session:
                assert (await session.wait_closed()).remote == expected
