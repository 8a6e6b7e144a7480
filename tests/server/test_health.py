"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

import asyncio

import wsext
from tests.raw import fetch
from wsext import App, ServerOptions, Session, hookimpl
from wsext.runtime import net
from wsext.server.health import Health


async def get(port: int, path: str, host: str = "x") -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
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


async def test_on_an_admin_port_health_answers_alone_and_until_the_last_session_has_ended() -> None:
    app, finish = App(server=ServerOptions(allowed_hosts=("127.0.0.1",))), asyncio.Event()
    app.separate_admin()
    app.install(Health())

    @app.websocket("/")
    async def stay(session: Session) -> None:
        await finish.wait()

    async with wsext.serve(app) as server:
        await server.start_admin(net.bind("127.0.0.1", 0, None, 5))
        assert server.admin is not None
        port = server.admin.port
        assert await get(server.port, "/healthz", "127.0.0.1") == (404, b"nothing here\n")
        assert await get(port, "/") == (200, b"/\n/healthz\n/readyz\n")
        assert await get(port, "/readyz") == (200, b'{"status":"ready"}')
        async with wsext.connect(server.url) as session:
            closing = asyncio.create_task(server.close())
            await session.wait_closed()
            assert await get(port, "/readyz") == (503, b"shutting down\n")
            assert (await get(port, "/healthz"))[0] == 200
            finish.set()
            await closing
        assert not server.admin.sockets


async def test_an_apps_own_routes_go_before() -> None:
    app = App()
    app.http("/healthz")(lambda request: "mine")
    app.install(Health())
    async with wsext.serve(app) as server:
        assert await get(server.port, "/healthz") == (200, b"mine")
        assert (await get(server.port, "/readyz"))[0] == 200
