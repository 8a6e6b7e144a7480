"""What a connection of a server is answered."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
import trio

from tests.hostile import BAD_HEADERS, BAD_OFFERS, DEFLATE, ODD_REQUESTS
from tests.raw import REQUEST, masked
from tests.trio.peers import on_trio, raw_peer, run
from wsext import (
    App,
    Dispatcher,
    HandshakeRejected,
    Listener,
    ServerOptions,
    WebSocketOptions,
    on,
)
from wsext.testing.on_trio import connect


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message)


def answer_of(request: bytes, app: Any = echo, **how: Any) -> str:
    """The head of the answer to a request."""
    heads: list[str] = []

    async def scenario() -> None:
        async with raw_peer(app, **how) as peer:
            await peer.send(request)
            heads.append(await peer.read_head())

    run(scenario)
    return heads[0]


@pytest.mark.parametrize("request_", ODD_REQUESTS)
def test_odd_requests_are_answered_and_not_with_500(request_: bytes) -> None:
    assert 400 <= int(answer_of(request_).split()[1]) < 500


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_a_header_that_is_not_of_the_grammar_is_a_400(header: str) -> None:
    more = f"Sec-WebSocket-Extensions: {header}\r\n"
    assert answer_of(REQUEST.format(path="/", more=more).encode()).startswith("HTTP/1.1 400")


@pytest.mark.parametrize("offers", BAD_OFFERS)
@on_trio
async def test_bad_offers_are_declined_and_never_a_500(offers: str) -> None:
    async with raw_peer(echo, extensions=["permessage-deflate"]) as peer:
        head = await peer.shake(more=f"Sec-WebSocket-Extensions: {offers}\r\n")
        if "431" in head.split("\r\n")[0]:
            return
        assert head.startswith("HTTP/1.1 101")
        assert "Sec-WebSocket-Extensions" not in head
        await peer.send(masked(1, b"plain"))
        frame = await peer.frame()
        assert frame is not None
        assert frame.payload == b"plain"


@on_trio
async def test_what_goes_away_in_the_middle_leaves_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = REQUEST.format(path="/", more=DEFLATE).encode()
    frame = masked(1, b"a message that never ends")
    for data in (b"", b"GET", head[:-2], head, head + frame[:9], head + b"\xff"):
        async with raw_peer(echo, extensions=["permessage-deflate"]) as peer:
            await peer.send(data)
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


@on_trio
async def test_a_peer_that_sends_no_request_is_dropped_after_handshake_timeout() -> None:
    async with raw_peer(echo, server=ServerOptions(handshake_timeout=3)) as peer:
        await peer.send(b"GET / HTTP/1.1\r\n")
        assert await peer.read_head() == ""
        assert trio.current_time() == pytest.approx(3)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/", "", 101),
        ("/chat/tea", "", 101),
        ("/nowhere", "", 404),
        ("/", "Origin: https://evil.example\r\n", 403),
        ("/closed", "", 401),
        ("/failing", "", 500),
    ],
)
def test_routes_origins_and_guards(
    path: str, more: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    async def refuse(request: Any) -> None:
        await trio.sleep(1)  # guards may wait on trio
        raise HandshakeRejected(401, "who are you?")

    def fail(request: Any) -> None:
        raise RuntimeError("secret")

    app.websocket("/")(echo)
    app.websocket("/closed", guards=[refuse])(echo)
    app.websocket("/failing", guards=[fail])(echo)

    @app.websocket("/chat/<room>")
    async def chat(session: Any, room: str) -> None:
        await session.send(room)

    head = answer_of(REQUEST.format(path=path, more=more).encode(), app)
    assert int(head.split()[1]) == status
    assert "secret" not in head


@on_trio
async def test_plain_http_is_answered_too() -> None:
    app = App()

    @app.http("/health")
    async def health(request: Any) -> str:
        await trio.sleep(1)
        return "fine"

    async with raw_peer(app) as peer:
        await peer.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await peer.read_head()).startswith("HTTP/1.1 200")
        assert peer.rest == b"fine"
        assert await peer.stream.receive_some() == b""


@pytest.mark.parametrize(
    ("head", "body", "answer"),
    [
        ("Content-Length: 6\r\n", b"name=A", "200 OK"),
        ("Transfer-Encoding: chunked\r\n", b"6\r\nname=A\r\n0\r\n\r\n", "200 OK"),
        ("Content-Length: 60000\r\n", b"", "413 "),
        ("Content-Length: x\r\n", b"", "400 "),
        ("Content-Length: 6\r\nOrigin: https://evil.example\r\n", b"name=A", "403 "),
    ],
)
@on_trio
async def test_small_forms(head: str, body: bytes, answer: str) -> None:
    app = App(server=ServerOptions(max_body_size=1000))

    @app.http("/login", methods=["POST"])
    async def login(request: Any) -> str:
        return str(request.form["name"])

    async with raw_peer(app) as peer:
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        request = f"POST /login HTTP/1.1\r\nHost: localhost\r\n{kind}{head}\r\n"
        await peer.send(request.encode() + body[:3])
        await peer.send(body[3:])
        assert answer in await peer.read_head()


@on_trio
async def test_frames_that_come_with_the_request_are_not_lost() -> None:
    async with raw_peer(echo) as peer:
        await peer.send(REQUEST.format(path="/", more="").encode() + masked(1, b"early"))
        assert "101" in await peer.read_head()
        frame = await peer.frame()
        assert frame is not None
        assert frame.payload == b"early"


@on_trio
async def test_a_listener_is_told_of_everything() -> None:
    told: list[Any] = []

    class Told(Listener):
        def on_open(self, session: Any) -> None:
            told.append("open")
            session.send_nowait("welcome")

        def on_message(self, session: Any, message: Any) -> None:
            told.append(message)

        def on_close(self, session: Any, info: Any) -> None:
            told.append(info.code)

    app = App()
    app.websocket("/")(Told)
    async with connect(app) as client:
        assert await client.receive() == "welcome"
        await client.send("a")
    assert told == ["open", "a", 1000]


class Add(msgspec.Struct, tag="add"):
    a: int
    b: int


@on_trio
async def test_a_dispatcher_answers_typed_messages() -> None:
    app = App()

    @app.websocket("/")
    class Sums(Dispatcher):
        @on(Add)
        async def add(self, session: Any, message: Add) -> int:
            await trio.sleep(1)
            return message.a + message.b

    async with connect(app) as client:
        await client.send_json(Add(1, 2))
        assert await client.receive_json() == 3


@on_trio
async def test_rooms_say_that_they_need_an_event_loop() -> None:
    app, problems = App(), []

    @app.websocket("/")
    async def enter(session: Any) -> None:
        try:
            async with app.room("tea").join(session):
                pass
        except RuntimeError as error:
            problems.append(str(error))

    async with connect(app) as client:
        assert (await client.wait_closed()).code == 1000
    assert len(problems) == 1
    assert problems[0].startswith("a room needs a running event loop")


@on_trio
async def test_each_route_has_its_options() -> None:
    app = App(options=WebSocketOptions(max_message_size=10))
    app.websocket("/")(echo)
    app.websocket("/large", options={"max_message_size": 1000})(echo)
    async with connect(app, "/large") as client:
        await client.send("x" * 100)
        assert await client.receive() == "x" * 100
    async with connect(app) as client:
        await client.send("x" * 100)
        assert (await client.wait_closed()).code == 1009
