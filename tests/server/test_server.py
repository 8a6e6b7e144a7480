"""The server as a whole: starting once, serving one app in several servers."""

from __future__ import annotations

import sys

import pytest

import wsext
from tests.server.apps import echo_app
from tests.server.test_running import Noted
from wsext import App, Server, ServerOptions, hookimpl, testing


async def test_two_servers_of_one_app() -> None:
    plane = Noted()
    app = echo_app()
    app.backplane = plane
    async with wsext.serve(app) as one:
        async with wsext.serve(app) as two:
            assert one.port != two.port
            async with wsext.connect(two.url) as session:
                await session.send("x")
                assert await session.receive() == "x"
        assert plane.running  # for the one that is left
    assert not plane.running


async def test_whoever_gives_a_server_its_connections_it_starts_the_same() -> None:
    class Plugin:
        asked = 0

        @hookimpl
        def wsext_routes(self, app: App) -> None:
            self.asked += 1

    plane, plugin = Noted(), Plugin()
    app = echo_app()
    app.backplane = plane
    app.install(plugin)
    server = Server(app)
    await server.start()
    await server.start()
    assert (plane.running, plugin.asked) == (True, 1)
    await server.close()
    assert not plane.running
    async with testing.connect(app) as session:
        assert plane.running
        await session.send("x")
        assert await session.receive() == "x"
    assert not plane.running


async def test_http2_is_imported_before_anybody_is_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes tens of milliseconds, for which every session would have to wait."""
    monkeypatch.delitem(sys.modules, "wsext.server.http2", raising=False)
    async with wsext.serve(App(server=ServerOptions(http2=False))):
        assert "wsext.server.http2" not in sys.modules  # nor at all where it is not spoken
    async with wsext.serve(App()):
        assert "wsext.server.http2" in sys.modules


async def test_a_server_that_never_started_can_be_closed() -> None:
    server = Server(echo_app())
    await server.close()
    assert server.draining
    await server.wait_closed()
