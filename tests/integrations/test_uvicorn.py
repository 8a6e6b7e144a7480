"""ASGI applications under uvicorn on this engine, on real sockets.

The behaviours are those that uvicorn promises of its own protocol classes, and ours beyond them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect as foreign_connect
from websockets.exceptions import ConnectionClosed as ForeignClosed
from websockets.exceptions import InvalidStatus as ForeignInvalidStatus

import wsext
from tests.extensions import Append, Reverse, Slow
from tests.integrations.served import Receive, Scope, Send, echo, running
from tests.raw import REQUEST, fetch, masked, raw_peer
from wsext import (
    App,
    ConnectionClosed,
    InvalidStatus,
    OptionError,
    Request,
    Response,
    WebSocketOptions,
    hookimpl,
)
from wsext.integrations.asgi import ClientDisconnected
from wsext.integrations.environment import settings_from_environment
from wsext.integrations.uvicorn import WebSocketProtocol
from wsext.sdk.plugins import set_default_plugins

WORDS = "the quick brown fox jumps over the lazy dog " * 50


def with_deflate() -> App:
    app = App()
    app.install("permessage-deflate")
    return app


class Recorder:
    """An application that accepts, and keeps every event after that."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await receive()
        await send({"type": "websocket.accept"})
        event: dict[str, Any] = {"type": ""}
        while event["type"] != "websocket.disconnect":
            event = await receive()
            self.events.put_nowait(event)


def sending(*messages: dict[str, Any]) -> Any:
    """An application that sends these, whatever comes, and then returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def refused(url: str) -> Any:
    """The response with which a handshake is refused."""
    with pytest.raises(ForeignInvalidStatus) as caught:
        await foreign_connect(url)
    return caught.value.response


# --- messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_messages_are_echoed_to_a_foreign_client(http: str) -> None:
    async with (
        running(echo, settings=with_deflate(), http=http) as server,
        foreign_connect(server.ws) as client,
    ):
        assert [item.name for item in client.protocol.extensions] == ["permessage-deflate"]
        for message in ("text", b"bytes", "", b"", "ünï" * 100, WORDS, b"\x00" * 70_000):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["frag", "", "ments"])
        assert await client.recv() == "fragments"
        assert await (await client.ping()) >= 0
    assert client.close_code == 1000


async def test_any_installed_extension_is_negotiated() -> None:
    settings = App()
    for extension in ("permessage-zstd", Append, Reverse, Slow):
        settings.install(extension)
    async with (
        running(echo, settings=settings) as server,
        wsext.connect(
            server.ws, extensions=["permessage-zstd", Append(suffix="!"), Reverse, Slow]
        ) as session,
    ):
        names = [agreed.name for agreed in session.extensions]
        assert names == ["x-append", "x-reverse", "x-slow", "permessage-zstd"]
        await session.send(WORDS)
        assert await session.receive() == WORDS
        assert session.stats.wire_bytes_in < 300


async def test_the_scope_is_complete_and_has_what_was_agreed() -> None:
    app = Recorder()
    async with running(app, settings=with_deflate(), root_path="/api") as server:
        async with foreign_connect(
            f"{server.ws}/one%2Ftwo?a=1&b=%20",
            subprotocols=["chat.v2", "chat.v1"],  # type: ignore[list-item]
            additional_headers={"X-Name": "abra\xe3o"},
        ) as client:
            local = client.local_address
        scope = app.scope
        session = scope["extensions"]["wsext"].pop("session")
        assert scope["extensions"] == {
            "websocket.http.response": {},
            "wsext": {
                "extensions": [
                    {"name": "permessage-deflate", "params": {"client_max_window_bits": "12"}}
                ]
            },
        }
        assert session.negotiation.header == "permessage-deflate; client_max_window_bits=12"
        assert scope["type"] == "websocket"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
        assert (scope["scheme"], scope["http_version"]) == ("ws", "1.1")
        assert (scope["root_path"], scope["path"]) == ("/api", "/api/one/two")
        assert scope["raw_path"] == b"/api/one%2Ftwo"
        assert scope["query_string"] == b"a=1&b=%20"
        assert scope["subprotocols"] == ["chat.v2", "chat.v1"]
        assert scope["client"] == local
        assert scope["server"] == ("127.0.0.1", server.port)
        headers = dict(scope["headers"])
        assert headers[b"host"] == f"127.0.0.1:{server.port}".encode()
        assert headers[b"x-name"] == b"abra\xe3o"


async def test_the_session_offers_what_asgi_cannot_express() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["extensions"]["wsext"]["session"]
        await send({"type": "websocket.accept"})
        message = await session.receive_message()
        await session.send(message.data, meta={**message.meta, "answer": 42})
        await session.ping()
        await session.close(1000, f"{session.stats.messages_in} message")

    settings = App()
    settings.install("permessage-meta")
    async with (
        running(app, settings=settings) as server,
        wsext.connect(server.ws, extensions=["permessage-meta"]) as session,
    ):
        await session.send("question", meta={"id": 7})
        answer = await session.receive_message()
        assert (answer.data, answer.meta) == ("question", {"id": 7, "answer": 42})
        with pytest.raises(ConnectionClosed):
            await session.receive()
        assert session.close_info.remote == (1000, "1 message")


async def test_the_state_of_the_lifespan_is_copied_for_each_connection() -> None:
    states = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["number"] = 1
            scope["state"]["shared"] = []
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append((scope["state"]["number"], len(scope["state"]["shared"])))
        scope["state"]["number"] = 2
        scope["state"]["shared"].append(1)
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    async with running(app, lifespan="on") as server:
        for _ in range(2):
            async with foreign_connect(server.ws) as client:
                await client.wait_closed()
    assert states == [(1, 0), (1, 1)]


async def test_frames_that_come_before_the_answer_are_kept() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await answer.wait()
        await echo(scope, receive, send)

    async with running(app) as server, raw_peer(server.port) as peer:
        peer.send(REQUEST.format(path="/", more="").encode())
        await asked.wait()
        peer.send(masked(1, b"early"))
        await peer.writer.drain()
        answer.set()
        assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
        frame = await peer.frame()
        assert frame is not None
        assert bytes(frame.payload) == b"early"


# --- the handshake ----------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_accepting_with_a_subprotocol_and_headers(http: str) -> None:
    headers = [(b"X-Extra", b"one"), (b"X-Extra", b"two"), (b"Server", b"mine")]
    app = sending(
        {"type": "websocket.accept", "subprotocol": "chat.v1", "headers": headers},
        {"type": "websocket.close"},
    )
    async with (
        running(app, http=http) as server,
        foreign_connect(server.ws, subprotocols=["chat.v2", "chat.v1"]) as client,  # type: ignore[list-item]
    ):
        assert client.subprotocol == "chat.v1"
        assert client.response is not None
        got = client.response.headers
        assert got.get_all("X-Extra") == ["one", "two"]
        assert got.get_all("Server") == ["uvicorn", "mine"]
        assert "Date" in got


async def test_uvicorns_own_headers_can_be_left_out() -> None:
    app = sending({"type": "websocket.accept"}, {"type": "websocket.close"})
    async with (
        running(app, server_header=False, date_header=False) as server,
        foreign_connect(server.ws) as client,
    ):
        assert client.response is not None
        assert not {"Server", "Date"} & set(client.response.headers)


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_closing_before_accepting_is_403(http: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    after: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": "never sent"})
        after.append(await receive())

    async with running(app, http=http) as server:
        response = await refused(f"{server.ws}/x?y")
    assert (response.status_code, response.body) == (403, b"")
    assert after == [{"type": "websocket.disconnect", "code": 1006}]
    assert any(line.endswith('"WebSocket /x?y" 403') for line in caplog.messages)


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_a_denial_has_the_apps_status_headers_and_body(http: str) -> None:
    app = sending(
        {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": [
                (b"WWW-Authenticate", b"Basic"),
                (b"Set-Cookie", b"a"),
                (b"Set-Cookie", b"b"),
            ],
        },
        {"type": "websocket.http.response.body", "body": b"who are you?"},
    )
    async with running(app, http=http) as server:
        response = await refused(server.ws)
    assert (response.status_code, response.body) == (401, b"who are you?")
    assert response.headers["Content-Length"] == "12"
    assert response.headers["Connection"] == "close"
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert response.headers.get_all("Set-Cookie") == ["a", "b"]


@pytest.mark.parametrize("headers", [[], [(b"Content-Length", b"200000")]])
async def test_a_denial_may_be_streamed(headers: Any) -> None:
    part = {"type": "websocket.http.response.body", "body": b"x" * 100_000}
    app = sending(
        {"type": "websocket.http.response.start", "status": 404, "headers": headers},
        {**part, "more_body": True},
        {"type": "websocket.http.response.body", "more_body": True},
        part,
    )
    async with running(app) as server:
        response = await refused(server.ws)
    assert (response.status_code, response.body) == (404, b"x" * 200_000)
    assert ("Transfer-Encoding" in response.headers) is not bool(headers)


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([{"type": "websocket.http.response.start", "status": 404}], 404),
        ([{"type": "websocket.http.response.start", "status": 404}] * 2, 404),
        ([{"type": "websocket.http.response.start", "status": 700}], 500),
        ([{"type": "websocket.send", "text": "too early"}], 500),
        ([{"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]}], 500),
        ([{"type": "websocket.accept", "subprotocol": "a\r\nc: d"}], 500),
        ([{"type": "websocket.accept", "headers": [(b"Upgrade", b"h2c")]}], 500),
        ([], 500),
    ],
    ids=[
        "no body",
        "started twice",
        "no status",
        "send",
        "line break",
        "and another",
        "own header",
        "nothing",
    ],
)
async def test_a_broken_application_is_answered(messages: Any, status: int) -> None:
    async with running(sending(*messages)) as server:
        response = await refused(server.ws)
    assert response.status_code == status
    if status == 500:
        assert response.body == b"Internal Server Error"
        assert response.headers["Connection"] == "close"


async def test_the_text_of_an_exception_is_logged_and_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("the password is hunter2")

    async with running(app) as server:
        response = await refused(server.ws)
    assert response.status_code == 500
    assert b"hunter2" not in response.serialize()
    assert "hunter2" in caplog.text


async def test_messages_out_of_order_are_the_applications_mistake() -> None:
    mistakes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def wrongly(message: dict[str, Any]) -> None:
            with pytest.raises(RuntimeError) as caught:
                await send(message)
            mistakes.append(str(caught.value))

        await wrongly({"type": "websocket.send", "text": "x"})
        await send({"type": "websocket.accept"})
        await wrongly({"type": "websocket.accept"})
        await wrongly({"type": "websocket.send"})
        await send({"type": "websocket.close"})
        await wrongly({"type": "websocket.send", "text": "x"})

    async with running(app) as server, foreign_connect(server.ws) as client:
        await client.wait_closed()
    assert mistakes == [
        "Expected ASGI message 'websocket.accept', 'websocket.close' or "
        "'websocket.http.response.start' but got 'websocket.send'.",
        "Expected ASGI message 'websocket.send' or 'websocket.close' but got 'websocket.accept'.",
        "websocket.send needs 'bytes' or 'text'",
        "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.",
    ]


async def test_bad_handshakes_never_reach_the_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("not to be called")

    async with running(app) as server:
        request = REQUEST.format(path="/", more="").encode()
        status, headers, _ = await fetch(server.port, request.replace(b": 13", b": 8"))
        assert (status, headers["sec-websocket-version"]) == (426, "13")
        status, _, _ = await fetch(server.port, request.replace(b"dGhl", b"dG"))
        assert status == 400
        status, _, _ = await fetch(server.port, request.replace(b"GET", b"PUT"))
        assert status == 405
        status, _, _ = await fetch(server.port, request.replace(b"GET /", b"GET /" + b"x" * 9000))
        assert status == 414
        status, _, _ = await fetch(server.port, request.replace(b"GET /", b"GET /\xc3\xbc"))
        assert status == 400  # that one is uvicorn's
    assert [line.rpartition(" ")[2] for line in caplog.messages if "WebSocket" in line] == [
        "426",
        "400",
        "405",
        "414",
    ]


async def test_the_origins_of_the_configuration_hold() -> None:
    settings = App(options=wsext.WebSocketOptions(origins=("https://mine.example",)))
    async with running(echo, settings=settings) as server:
        async with foreign_connect(server.ws, origin="https://mine.example"):  # type: ignore[arg-type]
            pass
        with pytest.raises(ForeignInvalidStatus) as caught:
            await foreign_connect(server.ws, origin="https://other.example")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403


async def test_a_plugin_may_refuse_and_an_extension_may_be_required() -> None:
    class Gate:
        @hookimpl
        def wsext_handshake(self, request: wsext.Request) -> Response | None:
            return None if request.path == "/open" else Response(402, "pay first")

    settings = App()
    settings.install(Gate())
    settings.install(Append, required=True)
    async with running(echo, settings=settings) as server:
        with pytest.raises(InvalidStatus, match="402: pay first"):
            await wsext.connect(f"{server.ws}/shut", extensions=[Append])
        with pytest.raises(InvalidStatus, match="400: the extension x-append is required"):
            await wsext.connect(f"{server.ws}/open")
        async with wsext.connect(f"{server.ws}/open", extensions=[Append]) as session:
            await session.send("x")
            assert await session.receive() == "x"


@pytest.mark.parametrize("accepted", [True, False])
async def test_codecs_are_closed_exactly_once(accepted: bool) -> None:
    codecs: list[Any] = []

    class Counted(Append):
        def accept(self, offer: wsext.Params, ctx: wsext.NegotiationContext) -> Any:
            answer = super().accept(offer, ctx)
            if isinstance(answer, wsext.Agreement):
                codecs.append(answer.codec)
            return answer

    settings = App()
    settings.install(Counted)
    app = echo if accepted else sending({"type": "websocket.close"})
    async with running(app, settings=settings) as server:
        if accepted:
            async with wsext.connect(server.ws, extensions=[Append]):
                assert codecs[0].closed == 0
        else:
            with pytest.raises(InvalidStatus):
                await wsext.connect(server.ws, extensions=[Append])
    assert [codec.closed for codec in codecs] == [1]


# --- the end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, 1000, 4321])
@pytest.mark.parametrize("reason", [None, "", "done"])
async def test_the_application_closes(code: int | None, reason: str | None) -> None:
    after: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": code, "reason": reason})
        after.append(await receive())

    async with running(app) as server, foreign_connect(server.ws) as client:
        await client.wait_closed()
    assert (client.close_code, client.close_reason) == (code or 1000, reason or "")
    assert after == [{"type": "websocket.disconnect", "code": code or 1000, "reason": reason or ""}]


async def test_the_client_closes_and_what_it_sent_before_is_read() -> None:
    start = asyncio.Event()
    events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await start.wait()
        while not events or events[-1]["type"] != "websocket.disconnect":
            events.append(await receive())

    async with running(app) as server:
        async with foreign_connect(server.ws) as client:
            for number in range(3):
                await client.send(str(number))
            await client.close(1001, "going")
        start.set()
    assert [event["text"] for event in events[:3]] == ["0", "1", "2"]
    assert events[3] == {"type": "websocket.disconnect", "code": 1001, "reason": "going"}


async def test_a_lost_client_is_told_and_sending_to_it_is_an_os_error() -> None:
    outcome: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        outcome.put_nowait(await receive())
        with pytest.raises(OSError, match="1006"):
            await send({"type": "websocket.send", "text": "too late"})
        await send({"type": "websocket.close"})  # closing what is closed is no error
        outcome.put_nowait(await receive())

    async with running(app) as server:
        async with raw_peer(server.port) as peer:
            await peer.shake()
        gone = {"type": "websocket.disconnect", "code": 1006}
        assert [await outcome.get(), await outcome.get()] == [gone, gone]


async def test_a_client_may_go_before_it_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    outcome: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        outcome.put_nowait(await receive())
        outcome.put_nowait(await receive())
        await send({"type": "websocket.accept"})

    async with running(app) as server:
        async with raw_peer(server.port) as peer:
            peer.send(REQUEST.format(path="/", more="").encode())
            assert (await outcome.get())["type"] == "websocket.connect"
        assert await outcome.get() == {"type": "websocket.disconnect", "code": 1006}
    assert "Exception" not in caplog.text
    assert "500" not in caplog.text


@pytest.mark.parametrize("result", [None, 123, "raise", "accept"])
async def test_without_a_close_frame_the_client_sees_1006(result: Any) -> None:
    """As under uvicorn's own protocols, an application that does not close ends abnormally."""

    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})
        if result == "raise":
            raise LookupError("hunter2")
        if result == "accept":
            await send({"type": "websocket.accept"})
        return result

    async with running(app) as server, foreign_connect(server.ws) as client:
        assert await client.recv() == "last"
        with pytest.raises(ForeignClosed):
            await client.recv()
        assert client.close_code == 1006


async def test_a_shutdown_closes_with_1012_and_refuses_with_503() -> None:
    app, waiting, shut = Recorder(), asyncio.Event(), asyncio.Event()

    async def choosing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await receive()
            waiting.set()
            assert await receive() == {"type": "websocket.disconnect", "code": 1006}
            shut.set()
        else:
            await app(scope, receive, send)

    async with running(choosing) as server:
        client = await foreign_connect(server.ws)
        slow = asyncio.ensure_future(refused(f"{server.ws}/slow"))
        await waiting.wait()
    assert app.events.get_nowait() == {"type": "websocket.disconnect", "code": 1012}
    await client.wait_closed()
    assert client.close_code == 1012
    assert (await slow).status_code == 503
    assert shut.is_set()
    assert not server.server.server_state.connections
    assert not server.server.server_state.tasks


async def test_a_shutdown_waits_for_nobody_who_does_not_answer_a_close() -> None:
    app = sending({"type": "websocket.accept"}, {"type": "websocket.close"})
    async with running(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await peer.close_code() == 1000  # and no answer to it
        server.server.config.timeout_graceful_shutdown = 2
        await server.server.shutdown()
        assert not server.server.server_state.connections
        assert await peer.frame() is None


# --- limits, pings, flow ----------------------------------------------------------------------


async def test_a_message_over_ws_max_size_is_1009() -> None:
    app = Recorder()
    async with running(app, ws_max_size=1000) as server:
        async with foreign_connect(server.ws) as client:
            await client.send(b"x" * 1000)
            assert len((await app.events.get())["bytes"]) == 1000
            await client.send([b"x" * 400] * 3)
            await client.wait_closed()
        assert client.close_code == 1009
        event = await app.events.get()
        assert (event["type"], event["code"]) == ("websocket.disconnect", 1009)


async def test_a_bomb_is_1009() -> None:
    async with (
        running(echo, settings=with_deflate(), ws_max_size=1 << 20) as server,
        foreign_connect(server.ws) as client,
    ):
        await client.send(b"\x00" * (1 << 20))
        assert len(await client.recv()) == 1 << 20
        await client.send(b"\x00" * ((1 << 20) + 1))
        await client.wait_closed()
        assert client.close_code == 1009


async def test_uvicorns_deflate_switch_is_ours() -> None:
    async with (
        running(echo, settings=with_deflate(), ws_per_message_deflate=False) as server,
        foreign_connect(server.ws) as client,
    ):
        assert client.protocol.extensions == []


async def test_pings_go_by_uvicorns_options() -> None:
    app = Recorder()
    async with (
        running(app, ws_ping_interval=0.05, ws_ping_timeout=0.1) as server,
        raw_peer(server.port) as peer,
    ):
        await peer.shake()
        for _ in range(3):
            ping = await peer.frame()
            assert ping is not None
            assert ping.opcode == 9
            peer.send(masked(10, bytes(ping.payload)))
        assert await peer.close_code() == 1011  # the next one is not answered
        assert (await app.events.get())["code"] == 1011


async def test_an_application_that_does_not_read_slows_the_client_down() -> None:
    go = asyncio.Event()
    sizes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (event := await receive())["type"] == "websocket.receive":
            sizes.append(len(event["bytes"]))

    async with running(app, ws_max_queue=2) as server, raw_peer(server.port) as peer:
        await peer.shake()
        frame = masked(2, b"x" * 60_000)
        blocked = False
        sent = 0
        while not blocked:
            peer.send(frame)
            sent += 1
            try:
                await asyncio.wait_for(peer.writer.drain(), 0.5)
            except TimeoutError:
                blocked = True
            assert sent < 2000
        go.set()
        await peer.writer.drain()
        peer.send(masked(8, b"\x03\xe8"))
        assert await peer.close_code() == 1000
    assert sizes == [60_000] * sent


async def test_a_client_that_does_not_read_slows_the_application_down() -> None:
    blocked, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        message = {"type": "websocket.send", "bytes": b"x" * 60_000}
        try:
            for _ in range(2000):
                await asyncio.wait_for(send(message), 0.5)
        except TimeoutError:
            blocked.set()
        with pytest.raises(ClientDisconnected):  # it goes without having read
            await send(message)
        ended.set()

    async with running(app) as server:
        async with raw_peer(server.port) as peer:
            await peer.shake()
            await blocked.wait()
        await ended.wait()


# --- configuration ----------------------------------------------------------------------------


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """What a configuration allows is everyone's in the process; not so in other tests."""
    yield
    set_default_plugins(None)


@pytest.mark.usefixtures("fresh_plugins")
async def test_the_configuration_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSEXT_CONFIG", str(tmp_path / "mine.toml"))
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate,permessage-zstd,permessage-checksum")
    (tmp_path / "mine.toml").write_text(
        "[extensions]\npermessage-checksum = false\n"
        "[extensions.permessage-deflate]\nserver_no_context_takeover = true\n"
        "[websocket]\nmax_message_size = 1048576\nincoming_capacity = 7\nclose_timeout = 3\n"
    )
    ws = WebSocketProtocol.using(*settings_from_environment())
    assert {item.name for item in ws.settings.installed.items} == {
        "permessage-deflate",
        "permessage-zstd",
    }
    app = Recorder()
    async with (
        running(app, ws=ws, ws_max_queue=9) as server,
        foreign_connect(server.ws) as client,
    ):
        (deflate,) = client.protocol.extensions
        assert deflate.remote_no_context_takeover  # type: ignore[attr-defined]
    options = app.scope["extensions"]["wsext"]["session"].options
    assert options.max_message_size == 1 << 20  # set, though it is wsext's default
    assert options.incoming_capacity == 9  # uvicorn's option was changed
    assert (options.close_timeout, options.ping_interval) == (3, 20)


@pytest.mark.usefixtures("fresh_plugins")
def test_a_mistake_in_the_configuration_stops_uvicorn_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wsext.toml").write_text("[extensions.permessage-deflate]\nlevle = 9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate")
    monkeypatch.delitem(vars(uvicorn_module()), "Protocol", raising=False)
    config = uvicorn.Config(echo, ws="wsext.integrations.uvicorn:Protocol", log_config=None)
    with pytest.raises(OptionError, match=r"permessage-deflate: levle: .*did you mean 'level'"):
        config.load()


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="Protocoll"):
        _ = uvicorn_module().Protocoll


def uvicorn_module() -> Any:
    import wsext.integrations.uvicorn as module

    return module


async def test_the_limits_that_are_looked_at_now_and_then_hold_and_hooks_are_told() -> None:
    told: list[Any] = []

    class Seen:
        @hookimpl
        def wsext_limited(self, limit: str) -> None:
            told.append(limit)

        @hookimpl
        def wsext_answered(self, request: Request | None, status: int) -> None:
            told.append(status)

    settings = App(options=WebSocketOptions(ping_rate=10))
    settings.install(Seen())
    async with running(Recorder(), settings=settings) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert told == [101]
        closed = asyncio.ensure_future(peer.close_code())
        while not closed.done():
            peer.send(masked(9, b"p") * 50)
            await asyncio.wait([closed], timeout=0.05)
        assert closed.result() == 1008
    assert told == [101, "ping_rate"]
