"""A request and its answer: how long the client may wait, and what happens when it leaves; and the
body of a request."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

import wsext
from tests.http2.peer import h2_peer
from tests.raw import REQUEST, fetch, raw_peer
from tests.server.apps import echo, via
from tests.waiting import until
from wsext import App, Request, Response, ServerOptions


async def test_a_guard_that_hangs_keeps_a_place_only_while_the_client_waits() -> None:
    app = App(server=ServerOptions(max_connections=1, handshake_timeout=30))
    states: asyncio.Queue[str] = asyncio.Queue()

    async def guard(request: Request) -> None:
        states.put_nowait("asked")
        try:
            await asyncio.Event().wait()
        finally:
            states.put_nowait("cancelled")

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server:
        for leave in ("abort", "write_eof"):
            async with raw_peer(server.port) as peer:
                peer.send(REQUEST.format(path="/", more="").encode())
                assert await states.get() == "asked"
                getattr(peer.writer.transport, leave)()
                assert await states.get() == "cancelled"
        assert server.connection_count == 0


async def test_a_guard_that_hangs_ends_with_the_time_for_the_handshake() -> None:
    app = App(server=ServerOptions(handshake_timeout=0.1))

    async def guard(request: Request) -> None:
        await asyncio.Event().wait()

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        peer.send(REQUEST.format(path="/", more="").encode())
        assert await peer.reader.read() == b""


# --- bodies ---------------------------------------------------------------------------------------


def form_app(**server: Any) -> App:
    """An app with a form, and a guard that refuses whoever says so."""
    app = App(server=ServerOptions(**server))

    def guard(request: Request) -> Response | None:
        assert request.body == b""  # it is not read for those who are refused
        return Response(401) if "X-Stranger" in request.headers else None

    @app.http("/login", methods=["POST"], guards=[guard])
    async def login(request: Request) -> dict[str, list[str]]:
        return dict(request.form_lists)

    app.http("/login")(lambda request: "a form")
    app.websocket("/login")(echo)
    return app


CHUNKED = "Transfer-Encoding: chunked"
FORM = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"


def post(*lines: str, body: bytes = b"", path: str = "/login") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{FORM}"
    return "".join((head, *(f"{line}\r\n" for line in lines), "\r\n")).encode() + body


@pytest.mark.parametrize(
    ("request_", "status", "answer"),
    [
        (post("Content-Length: 14", body=b"a=a%20b%2B+c&b"), 200, b'{"a":["a b+ c"],"b":[""]}'),
        (post(CHUNKED, body=b"4\r\na=1&\r\n3\r\na=b\r\n0\r\n\r\n"), 200, b'{"a":["1","b"]}'),
        (post(), 200, b"{}"),
        (post("Content-Length: 3", "Origin: http://localhost", body=b"a=1"), 200, b'{"a":["1"]}'),
        (post("Content-Length: 3", "Origin: http://elsewhere", body=b"a=1"), 403, None),
        (post("Content-Length: 3", "Origin: null", body=b"a=1"), 403, None),
        (post("Content-Length: 3", "X-Stranger: yes", body=b"a=1"), 401, None),
        (post("Content-Length: 101"), 413, None),
        (post(CHUNKED, body=b"65\r\n"), 413, None),
        (post(CHUNKED, body=b"x\r\n"), 400, None),
        (post("Content-Length: 3", CHUNKED, body=b"0\r\n\r\n"), 400, None),
        (post("Content-Length: 3", "Content-Length: 3", body=b"a=1"), 400, None),
        (post("Content-Length: 3", "Expect: more", body=b"a=1"), 417, None),
        (post("Content-Length: 3", "Content-Type: text/plain", body=b"a=1"), 400, None),
        (post("Content-Length: 3", body=b"a=1").replace(FORM.encode(), b""), 415, None),
        (post("Content-Length: 3", body=b"a=\xff"), 400, None),
        (post("Content-Length: 3", path="/nowhere", body=b"a=1"), 404, None),
        (post("Content-Length: 3", body=b"a=1").replace(b"POST", b"PUT"), 405, None),
    ],
)
async def test_a_form_is_read_or_refused(
    request_: bytes, status: int, answer: bytes | None
) -> None:
    async with wsext.serve(form_app(max_body_size=100)) as server:
        got, headers, body = await fetch(server.port, request_)
        assert (got, headers["connection"]) == (status, "close")
        assert answer in (None, body)


async def test_one_path_may_have_a_page_a_form_and_a_session() -> None:
    async with wsext.serve(form_app()) as server:
        _, _, body = await fetch(server.port, b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert body == b"a form"
        status, headers, _ = await fetch(server.port, post(path="/login").replace(b"POST", b"PUT"))
        assert (status, headers["allow"]) == (405, "get, head, post")
        async with wsext.connect(f"{server.url}/login") as session:
            await session.send("hi")
            assert await session.receive() == "hi"


async def test_who_waits_for_continue_is_told_or_refused_before_it_sends() -> None:
    async with wsext.serve(form_app(max_body_size=9)) as server:
        async with raw_peer(server.port) as peer:
            peer.send(post("Content-Length: 3", "Expect: 100-continue"))
            assert await peer.read_head() == "HTTP/1.1 100 Continue\r\n\r\n"
            peer.send(b"a=1")
            assert (await peer.read_head()).startswith("HTTP/1.1 200 ")
        for line in ("X-Stranger: yes", "Origin: http://elsewhere", "Content-Length: 10"):
            lines = [line] if "Length" in line else [line, "Content-Length: 3"]
            status, _, _ = await fetch(server.port, post(*lines, "Expect: 100-continue"))
            assert status in (401, 403, 413)
        # Whoever has begun to send need not be told.
        request = post("Content-Length: 3", "Expect: 100-continue", body=b"a=")
        async with raw_peer(server.port) as peer:
            peer.send(request)
            peer.send(b"1")
            assert (await peer.read_head()).startswith("HTTP/1.1 200 ")


async def test_a_slow_body_ends_with_the_time_for_the_handshake() -> None:
    async with wsext.serve(form_app(handshake_timeout=0.1)) as server:
        async with raw_peer(server.port) as peer:
            peer.send(post("Content-Length: 3", body=b"a="))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await peer.read_head()
        assert server.connection_count == 0


@pytest.mark.parametrize("http2", [False, True])
async def test_bodies_count_among_what_waits_until_they_are_answered(http2: bool) -> None:
    """All bodies together are bounded, those that are with handlers, too."""
    app = App(server=ServerOptions(incoming_total=85_000))
    came: asyncio.Queue[int] = asyncio.Queue()
    go_on = asyncio.Event()

    @app.http("/login", methods=["POST"])
    async def login(request: Request) -> str:
        came.put_nowait(len(request.body))
        await go_on.wait()
        return "in"

    body = b"a" * 60_000
    async with wsext.serve(app) as server, AsyncExitStack() as stack:
        part = await stack.enter_async_context(raw_peer(server.port))
        part.send(post("Content-Length: 60000", body=body[:30_000]))  # one that is not whole
        await until(lambda: server.turns.waiting == 30_000)
        asked = asyncio.create_task(send(server.port, body, http2))
        assert await came.get() == 60_000  # one that a handler has
        assert (await fetch(server.port, post("Content-Length: 60000", body=body[:1])))[0] == 503
        part.writer.transport.abort()
        await until(lambda: server.turns.waiting == 60_000)
        go_on.set()
        assert await asked == 200
        assert server.turns.waiting == 0
        assert await send(server.port, body, http2) == 200


async def send(port: int, body: bytes, http2: bool) -> int:
    """Send a body; the status of the answer."""
    if not http2:
        return (await fetch(port, post(f"Content-Length: {len(body)}", body=body)))[0]
    async with h2_peer(port) as peer:
        stream = peer.request("/login", (), method="POST", protocol=None)
        peer.send_bytes(stream, body, end=True)
        return (await peer.response(stream))[0]


async def test_a_body_that_is_cut_off_reaches_nobody() -> None:
    app, asked = App(), []

    @app.http("/login", methods=["POST"])
    def login(request: Request) -> str:
        asked.append(request.body)
        return "in"

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        peer.send(post("Content-Length: 3", body=b"a="))
        peer.writer.write_eof()
        assert await peer.reader.read() == b""
    assert asked == []


async def test_what_follows_a_body_is_no_request() -> None:
    async with wsext.serve(form_app()) as server, raw_peer(server.port) as peer:
        peer.send(post("Content-Length: 3", body=b"a=1") + post("Content-Length: 3", body=b"b=2"))
        answer = await peer.reader.read()
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_posts_count_as_handshakes() -> None:
    """So that nobody guesses passwords faster than one may connect."""
    app = form_app(handshake_rate=0.2, trusted_proxies=("127.0.0.1",))
    async with wsext.serve(app) as server:
        lines = [f"{name}: {value}" for name, value in via("192.0.2.1").items()]
        statuses = [(await fetch(server.port, post(*lines)))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
