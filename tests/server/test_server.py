"""The server over real sockets: statuses, limits, TLS, Unix sockets, drain."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import wsext
from tests.extensions import Append, Reverse
from tests.raw import REQUEST, fetch, masked, raw_peer
from wsext import (
    App,
    HandshakeRejected,
    InvalidStatus,
    Request,
    Response,
    Router,
    ServerOptions,
    Session,
    WebSocketOptions,
    hookimpl,
)


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def echo_app(**server: Any) -> App:
    app = App(server=ServerOptions(**server))
    app.websocket("/")(echo)
    return app


UPGRADE = REQUEST.format(path="/", more="").encode()


def without(header: str) -> bytes:
    lines = UPGRADE.decode().split("\r\n")
    return "\r\n".join(line for line in lines if not line.startswith(header)).encode()


@pytest.mark.parametrize(
    ("request_", "status", "header"),
    [
        (b"NONSENSE\r\n\r\n", 400, None),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, ("upgrade", "websocket")),
        (UPGRADE.replace(b"Version: 13", b"Version: 8"), 426, ("sec-websocket-version", "13")),
        (without("Sec-WebSocket-Key"), 400, None),
        (UPGRADE.replace(b"GET / ", b"GET /other "), 404, None),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405, ("allow", "get")),
        (b"PUT /page HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 405, None),
        (UPGRADE[:-2] + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431, None),
        (UPGRADE[:-2] + b"X: y\r\n" * 200 + b"\r\n", 431, None),
        (UPGRADE.replace(b"GET / ", b"GET /page "), 404, None),
    ],
)
async def test_a_bad_handshake_gets_its_status_and_a_short_body(
    request_: bytes, status: int, header: tuple[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = echo_app()
    app.http("/page")(lambda request: "page")
    async with wsext.serve(app) as server:
        got, headers, body = await fetch(server.port, request_)
        assert got == status
        assert 0 < len(body) < 200
        assert headers["content-length"] == str(len(body))
        if header is not None:
            assert headers[header[0]] == header[1]
        async with wsext.connect(server.url) as session:  # and it serves on
            await session.send("still here")
            assert await session.receive() == "still here"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


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


async def test_required_extensions() -> None:
    app = echo_app()
    app.install(Append, required=True)
    async with wsext.serve(app) as server:
        async with wsext.connect(server.url, extensions=[Append]) as session:
            assert session.extension("x-append")
        with pytest.raises(InvalidStatus, match="x-append") as caught:
            await wsext.connect(server.url)
        assert caught.value.status == 400


async def test_limits_of_connections_and_of_the_handshakes_time() -> None:
    app = echo_app(max_connections=2, handshake_timeout=0.1)
    async with wsext.serve(app) as server:
        async with wsext.connect(server.url) as one, wsext.connect(server.url) as two:
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(server.url)
            assert caught.value.status == 503
            assert "Retry-After" in caught.value.headers
            assert one.is_open
            assert two.is_open
        async with raw_peer(server.port) as slow:
            slow.send(b"GET / HTTP/1.1\r\nHost")
            assert await slow.reader.read() == b""  # dropped after the handshake's time
        async with wsext.connect(server.url) as session:
            assert session.is_open


async def test_frames_may_come_with_the_handshake() -> None:
    async with wsext.serve(echo_app()) as server, raw_peer(server.port) as peer:
        big = b"x" * 100_000
        peer.send(UPGRADE + masked(1, b"early") + masked(2, big))
        await peer.read_head()
        first, second = await peer.frame(), await peer.frame()
    assert first is not None
    assert second is not None
    assert (first.payload, second.payload) == (b"early", big)


async def test_much_may_come_while_a_guard_decides() -> None:
    app = App()
    decided = asyncio.Event()

    async def guard(request: Request) -> None:
        await decided.wait()

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        peer.send(UPGRADE)
        for number in range(300):
            peer.send(masked(2, b"%04d" % number * 250))
        async with raw_peer(server.port) as other:  # the server has had its turn meanwhile
            other.send(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
            await other.read_head()
        decided.set()
        await peer.read_head()
        for number in range(300):
            frame = await peer.frame()
            assert frame is not None
            assert frame.payload[:4] == b"%04d" % number


async def test_tls() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    app = echo_app()
    app.install("permessage-deflate")
    async with wsext.serve(app, ssl=server_context) as server:
        assert server.url.startswith("wss://")
        url = f"wss://localhost:{server.port}/"
        opening = wsext.connect(url, ssl=client_context, extensions=["permessage-deflate"])
        async with opening as session:
            (on_server,) = server.sessions
            assert on_server.request.secure
            await session.send("secret " * 1000)
            assert await session.receive() == "secret " * 1000
        with pytest.raises(ssl.SSLCertVerificationError):
            await wsext.connect(url)


async def test_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with wsext.serve(echo_app(), uds=path) as server:
        assert server.url == f"ws+unix:{path}"
        with pytest.raises(RuntimeError, match="TCP"):
            _ = server.port
        async with wsext.connect(f"{server.url}:/") as session:
            await session.send("local")
            assert await session.receive() == "local"
            (on_server,) = server.sessions
            assert on_server.request.remote is None


async def test_drain_refuses_with_503_and_closes_with_1001() -> None:
    app = App(server=ServerOptions(drain_timeout=5))
    finish = asyncio.Event()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async for _ in session:
            pass
        await finish.wait()

    server = await wsext.serve(app)
    session = await wsext.connect(server.url)
    closing = asyncio.ensure_future(server.close())
    info = await session.wait_closed()
    assert info.remote == (1001, "server is shutting down")
    with pytest.raises(InvalidStatus) as caught:  # a handler still runs, so it still answers
        await wsext.connect(server.url)
    assert caught.value.status == 503
    assert not closing.done()
    finish.set()
    await closing
    with pytest.raises(OSError, match=r"refused|failed"):
        await wsext.connect(server.url)


async def test_a_handler_that_does_not_end_is_cancelled_after_the_drain_time() -> None:
    app = App(server=ServerOptions(drain_timeout=0.05))
    cancelled = asyncio.Event()

    @app.websocket("/")
    async def stuck(session: Session) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await server.close()
        assert cancelled.is_set()
        assert (await session.wait_closed()).code == 1001


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


async def test_two_servers_of_one_app_and_handlers_of_wrong_kinds() -> None:
    app = echo_app()
    async with wsext.serve(app) as one, wsext.serve(app) as two:
        assert one.port != two.port
        async with wsext.connect(two.url) as session:
            await session.send("x")
            assert await session.receive() == "x"
    with pytest.raises(TypeError, match="coroutine"):
        app.websocket("/sync")(lambda session: None)
    with pytest.raises(ValueError, match="slash"):
        app.websocket("nothing")


async def test_a_path_without_its_last_slash_is_redirected() -> None:
    app = App()
    app.http("/folder/")(lambda request: "here")
    async with wsext.serve(app) as server:
        get = b"GET /folder?q=1 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"
        status, headers, _ = await fetch(server.port, get)
        assert (status, headers["location"]) == (308, "/folder/?q=1")
