"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

import asyncio

import wsext
from tests.raw import fetch
from wsext import App, Session, hookimpl
from wsext.server.health import Health


async def get(port: int, path: str) -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    status, _, body = await fetch(port, request)
    return status, body


async def test_ready_is_what_plugins_say_and_not_while_draining() -> None:
    class Broker:
        reason: str | None = "the broker is away"

        @hookimpl
        def wsext_not_ready(self) -> str | None:
            return self.reason

    app, broker, finish = App(), Broker(), asyncio.Event()
    app.install(broker)
    app.install(Health())

    @app.websocket("/")
    async def stay(session: Session) -> None:
        await finish.wait()

    async with wsext.serve(app) as server:
        assert await get(server.port, "/healthz") == (200, b'{"status":"ok"}')
        assert await get(server.port, "/readyz") == (503, b"the broker is away\n")
        broker.reason = None
        assert await get(server.port, "/readyz") == (200, b'{"status":"ready"}')
        async with wsext.connect(server.url) as session:
            closing = asyncio.create_task(server.close())
            await session.wait_closed()  # the server drains
            assert await get(server.port, "/readyz") == (503, b"shutting down\n")
            assert (await get(server.port, "/healthz"))[0] == 200
            finish.set()
            await closing


async def test_an_apps_own_routes_go_before() -> None:
    app = App()
    app.http("/healthz")(lambda request: "mine")
    app.install(Health())
    async with wsext.serve(app) as server:
        assert await get(server.port, "/healthz") == (200, b"mine")
        assert (await get(server.port, "/readyz"))[0] == 200
