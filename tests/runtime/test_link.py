"""What the links of one event loop share must not make one suffer for another."""

from __future__ import annotations

import asyncio
from typing import Any

import wsext
from wsext import App, Session


async def test_a_write_that_fails_leaves_the_other_connections_alone() -> None:
    app = App()
    sessions: list[Session] = []

    @app.websocket("/")
    async def handler(session: Session) -> None:
        sessions.append(session)
        await session.wait_closed()

    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url),
        wsext.connect(server.url) as second,
    ):
        while len(sessions) < 2:
            await asyncio.sleep(0)

        def broken(data: Any) -> None:
            raise OSError("the transport is broken")

        sessions[0]._link._write = broken
        for session in sessions:  # in one turn of the loop
            session.send_nowait("hello")
        assert await second.receive() == "hello"
        assert [str(context["exception"]) for context in reported] == ["the transport is broken"]
        sessions[0].abort()
