"""Several lines of one name, and what may stand only once, over both versions of HTTP."""

from __future__ import annotations

import logging

import pytest

import wsext
from tests.http2.peer import h2_peer
from tests.raw import REQUEST, fetch, raw_peer
from wsext import App, HandshakeRejected, Headers, Request, Response, Session, hookimpl
from wsext.protocol.heads import RequestReader

SINGLE = [
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Host",
    "Origin",
    "Proxy-Authorization",
    "Referer",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "User-Agent",
]
#: HTTP/2 has no such header, or its library sees to it.
NOT_IN_HTTP2 = {"Content-Length", "Cookie", "Host", "Sec-WebSocket-Key"}
LISTS = ["Accept", "Accept-Language", "Cache-Control", "X-Forwarded-For", "X-Anything", "Via"]


def test_lines_of_one_name_are_joined() -> None:
    headers = Headers([("Accept", "a"), ("X", "1"), ("accept", "b")])
    assert headers["ACCEPT"] == headers.get("Accept") == "a, b"
    assert headers.get_all("accept") == ["a", "b"]
    assert list(headers.raw_items()) == [("Accept", "a"), ("X", "1"), ("accept", "b")]
    assert headers.get("nothing", "else") == "else"
    assert dict(headers) == {"accept": "a, b", "x": "1"}
    with pytest.raises(KeyError):
        _ = headers["nothing"]


class Watched:
    """An app whose guard, hook and page read headers, and which notes who was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.app = App(guards=[self.guard])
        self.app.install(self)

        @self.app.http("/page", guards=[self.guard])
        def page(request: Request) -> str:
            return self.read("page", request)

        @self.app.websocket("/")
        async def echo(session: Session) -> None:
            self.read("handler", session.request)

    def read(self, who: str, request: Request) -> str:
        self.asked.append(who)
        return ";".join(request.headers.get(name, "") for name in (*SINGLE, *LISTS))

    def guard(self, request: Request) -> None:
        self.read("guard", request)

    @hookimpl
    def wsext_handshake(self, request: Request) -> Response | None:
        self.read("hook", request)
        return None


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("path", ["/", "/page"])
async def test_a_second_line_of_what_has_one_value_is_refused_first(
    name: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched()
    async with wsext.serve(watched.app) as server:
        lines = f"{name}: 0\r\n{name.lower()}: 0\r\n"
        status, _, body = await fetch(server.port, REQUEST.format(path=path, more=lines).encode())
        assert (status, name.encode() in body) == (400, True)
        if name not in NOT_IN_HTTP2:
            async with h2_peer(server.port) as peer:
                fields = [(name.lower(), "0")] * 2
                assert (await peer.fetch(path, fields, end=True))[0] == 400
                page = await peer.fetch(path, fields, method="GET", protocol=None, end=True)
                assert page[0] == 400
    assert not watched.asked
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", LISTS)
async def test_a_second_line_of_anything_else_hurts_nobody(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched()
    async with wsext.serve(watched.app) as server:
        lines = f"{name}: a\r\n{name}: b\r\n"
        async with raw_peer(server.port) as raw:
            assert " 101 " in await raw.shake("/", lines)
        answer = await fetch(server.port, f"GET /page HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        assert answer[2].count(b"a, b") == 1
        async with h2_peer(server.port) as peer:
            fields = [(name.lower(), "a"), (name.lower(), "b")]
            page = await peer.fetch("/page", fields, method="GET", protocol=None, end=True)
            assert b"a, b" in page[2]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_http_2_may_split_cookies() -> None:
    app = App()

    @app.http("/")
    def page(request: Request) -> dict[str, str]:
        return dict(request.cookies)

    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        fields = [("cookie", "a=1"), ("cookie", "b=2")]
        _, _, body = await peer.fetch("/", fields, method="GET", protocol=None, end=True)
    assert body == b'{"a":"1","b":"2"}'


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("Host: example.com", 200),
        ("Host: a_b.example:8765", 200),
        ("Host: [::1]:80", 200),
        ("Host: [fe80::1%25eth0]", 200),
        ("Host:", 200),
        ("X: y", 400),
        ("Host: a b", 400),
        ("Host: user@example.com", 400),
        ("Host: example.com/path", 400),
        ("Host: http://example.com", 400),
        ("Host: example.com:port", 400),
        ("Host: example.com:123456", 400),
        ("Host: [::1", 400),
        ("Host: [::g]", 400),
        ("Host: [v1.x]", 200),
        ("Host: a%20b", 200),
        ("Host: a%zz", 400),
        ("Host: \xfcber.example", 400),
    ],
)
async def test_a_host_is_a_name_or_an_address(host: str, status: int) -> None:
    app = App()
    app.http("/")(lambda request: request.host)
    async with wsext.serve(app) as server:
        head = f"GET / HTTP/1.1\r\n{host}\r\n\r\n"
        assert (await fetch(server.port, head.encode("latin-1")))[0] == status


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/", "example.com"),
        ("http://other.example:8765/path?x=http://y", "other.example:8765"),
        ("http://other.example", "other.example"),
        ("/redirect?to=http://other.example/", "example.com"),
    ],
)
def test_a_whole_url_as_target_names_the_host(target: str, host: str) -> None:
    assert Request("GET", target, Headers({"Host": "example.com"})).host == host


@pytest.mark.parametrize(
    ("method", "target", "is_one"),
    [
        *(("GET", target, True) for target in ("/", "//", "/?", "/a%zz", "HTTP://x", "wss://x?y")),
        *(("GET", target, True) for target in ("http://[::1]:80/", "ws://x:80")),
        ("OPTIONS", "*", True),
        ("CONNECT", "x:443", True),
        *(("GET", target, False) for target in ("", "*", "x", "?", "x:80", "\\", "http:/x")),
        *(("GET", target, False) for target in ("/#x", "http://x#y", "http://", "http:///")),
        *(("GET", target, False) for target in ("http://u@x/", "http://[::g]/", "http://x:y/")),
        *(("GET", target, False) for target in ("ftp://x/", "http://:80/", "http://a,b c/")),
    ],
)
def test_a_target_is_a_path_or_a_url(method: str, target: str, is_one: bool) -> None:
    """RFC 9112 §3.2; nothing else may be taken for the path ``/``."""
    data = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    if is_one:
        assert RequestReader().feed(data) is not None
        return
    with pytest.raises(HandshakeRejected) as caught:
        RequestReader().feed(data)
    assert caught.value.status == 400


def test_http_1_0_needs_no_host() -> None:
    assert RequestReader().feed(b"GET / HTTP/1.0\r\n\r\n") is not None
    with pytest.raises(HandshakeRejected, match="Host"):
        RequestReader().feed(b"GET / HTTP/1.1\r\n\r\n")
