"""Answers to requests: plain ones, and handshakes with routes, options, guards and plugins."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

import wsext
from tests.extensions import Append, Reverse
from tests.raw import REQUEST, fetch, raw_peer
from tests.server.apps import echo, echo_app, limited_app, refused
from tests.waiting import until
from wsext import (
    App,
    HandshakeRejected,
    InvalidStatus,
    Request,
    Response,
    Router,
    Session,
    WebSocketOptions,
    hookimpl,
)


async def test_http_answers() -> None:
    app = App()

    @app.http("/text/<name>")
    def text(request: Request, name: str) -> str:
        return f"hello {name} {request.query.get('q')}"

    @app.http("/json")
    async def data(request: Request) -> dict[str, int]:
        return {"a": 1}

    @app.http("/teapot")
    def teapot(request: Request) -> Response:
        return Response(418, "short", {"X-Kind": "pot"})

    async with wsext.serve(app) as server:
        get = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
        status, headers, body = await fetch(server.port, get % b"/text/bob?q=1")
        assert (status, body) == (200, b"hello bob 1")
        status, headers, body = await fetch(server.port, get % b"/json")
        assert (headers["content-type"], body) == ("application/json", b'{"a":1}')
        status, headers, body = await fetch(server.port, get % b"/teapot")
        assert (status, headers["x-kind"], body) == (418, "pot", b"short")
        head = (get % b"/json").replace(b"GET", b"HEAD")
        status, headers, body = await fetch(server.port, head)
        assert (status, headers["content-length"], body) == (200, "7", b"")


async def test_a_path_without_its_last_slash_is_redirected() -> None:
    app = App()
    app.http("/folder/")(lambda request: "here")
    async with wsext.serve(app) as server:
        get = b"GET /folder?q=1 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"
        status, headers, _ = await fetch(server.port, get)
        assert (status, headers["location"]) == (308, "/folder/?q=1")


async def test_routes_converters_routers_and_subprotocols() -> None:
    app = App()
    api = Router("/api")

    @api.websocket("/rooms/<int:number>", subprotocols=["v2", "v1"])
    async def room(session: Session, number: int) -> None:
        await session.send(f"{number!r} {session.subprotocol} {session.path_params['number']}")

    app.include(api, prefix="/x")
    async with wsext.serve(app) as server:
        url = f"{server.url}/x/api/rooms/7"
        async with wsext.connect(url, subprotocols=["v1", "v2"]) as session:
            assert session.subprotocol == "v2"
            assert await session.receive() == "7 v2 7"
        for bad, status in ((f"{server.url}/x/api/rooms/seven", 404), (url + "/", 404)):
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(bad)
            assert caught.value.status == status
        with pytest.raises(InvalidStatus, match="v2, v1"):
            await wsext.connect(url, subprotocols=["v9"])


async def test_routes_have_options_and_extensions_of_their_own() -> None:
    app = App(options=WebSocketOptions(max_message_size=1000))
    app.install(Append)
    app.install(Reverse)

    @app.websocket("/small", options={"max_message_size": 10})
    @app.websocket("/none", extensions=False)
    @app.websocket("/one", extensions=["x-reverse"])
    @app.websocket("/own", extensions=[Append(suffix="own")])
    @app.websocket("/all")
    async def handler(session: Session) -> None:
        await session.send(f"{session.negotiation.header} {session.options.max_message_size}")

    async with wsext.serve(app) as server:
        said = {}
        for path in ("small", "none", "one", "own", "all"):
            url = f"{server.url}/{path}"
            async with wsext.connect(url, extensions=[Reverse, Append(suffix="z")]) as session:
                said[path] = await session.receive()
    assert said == {
        "small": "x-reverse, x-append; suffix=z 10",
        "none": "None 1000",
        "one": "x-reverse 1000",
        "own": "x-append; suffix=z 1000",
        "all": "x-reverse, x-append; suffix=z 1000",
    }


async def test_origins_and_guards_decide_before_the_session() -> None:
    app = App(options=WebSocketOptions(origins=("https://good.example",)))

    async def guard(request: Request) -> Response | None:
        if request.query.get("key") == "no":
            return Response(401, "who are you?", {"WWW-Authenticate": "Basic"})
        if request.query.get("key") == "worse":
            raise HandshakeRejected(403, "go away")
        return None

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server:
        async with wsext.connect(server.url, origin="https://good.example") as session:
            assert session.is_open
        for query, origin, status in (
            ("", "https://evil.example", 403),
            ("", None, 403),
            ("?key=no", "https://good.example", 401),
            ("?key=worse", "https://good.example", 403),
        ):
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(f"{server.url}/{query}", origin=origin)
            assert caught.value.status == status


PROXIED = {"X-Forwarded-Host": "public.example", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("origin", "headers", "ok"),
    [
        (None, {}, True),
        ("http://HOST", {}, True),
        ("https://HOST", {}, False),  # another scheme
        ("http://127.0.0.1", {}, False),  # another port
        ("http://evil.example", {}, False),
        ("null", {}, False),
        ("file://", {}, False),
        ("http://[", {}, False),
        ("http://public.example", {"X-Forwarded-Host": "public.example"}, True),
        ("https://public.example", PROXIED, True),
        ("http://public.example", PROXIED, False),
        ("https://evil.example", PROXIED, False),
    ],
)
async def test_pages_of_elsewhere_may_not_connect(
    origin: str | None, headers: dict[str, str], ok: bool
) -> None:
    app, _ = limited_app()
    async with wsext.serve(app) as server:
        if origin is not None:
            origin = origin.replace("HOST", f"127.0.0.1:{server.port}")
        if ok:
            async with wsext.connect(server.url, origin=origin, headers=headers) as session:
                assert session.is_open
        else:
            error = await refused(server.url, origin=origin, headers=headers)
            assert error.status == 403


async def test_a_plugin_may_refuse_a_handshake_and_see_sessions_come_and_go() -> None:
    class Plugin:
        seen: list[Any] = []

        @hookimpl
        async def wsext_handshake(self, request: Request) -> Response | None:
            return Response(429, "later") if request.query else None

        @hookimpl
        def wsext_session_opened(self, session: Session) -> None:
            self.seen.append("opened")

        @hookimpl
        def wsext_session_closed(self, session: Session, info: wsext.CloseInfo) -> None:
            self.seen.append(info.code)

        @hookimpl
        def wsext_routes(self, app: App) -> None:
            app.websocket("/extra")(echo)

    app = echo_app()
    app.install(Plugin())
    async with wsext.serve(app) as server:
        with pytest.raises(InvalidStatus, match="later"):
            await wsext.connect(server.url + "/?x=1")
        async with wsext.connect(server.url + "/extra") as session:
            await session.close(3000)
    assert Plugin.seen == ["opened", 3000]


def test_handlers_and_paths_of_wrong_kinds_are_refused_at_once() -> None:
    app = App()
    with pytest.raises(TypeError, match="coroutine"):
        app.websocket("/sync")(lambda session: None)
    with pytest.raises(ValueError, match="slash"):
        app.websocket("nothing")


async def test_many_requests_at_once_leave_others_their_turn() -> None:
    """A hundred handshakes take tens of milliseconds: not in one pass of the event loop."""
    loop: Any = asyncio.get_running_loop()
    loop.work_time = lambda: 1.0  # only what is counted beforehand passes
    opened: list[int] = []
    async with wsext.serve(echo_app()) as server, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(raw_peer(server.port)) for _ in range(100)]
        await until(lambda: server.connection_count == 100)
        for peer in peers:
            peer.send(REQUEST.format(path="/", more="").encode())
        while not opened or opened[-1] < 100:
            opened.append(len(server.sessions))
            await asyncio.sleep(0)
    steps = [after - before for before, after in itertools.pairwise(opened)]
    assert max(steps) <= 35
