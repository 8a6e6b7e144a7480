"""ASGI applications under uvicorn on this engine, on real sockets.

The behaviours are those that uvicorn promises of its own protocol classes, and ours beyond them.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from websockets.asyncio.client import connect as foreign_connect
from websockets.exceptions import InvalidStatus as ForeignInvalidStatus

import wsext
from tests.codecs import ClosesLater
from tests.extensions import Append, Reverse, Slow
from tests.integrations.served import (
    Receive,
    Recorder,
    Scope,
    Send,
    echo,
    refused,
    running,
    sending,
    with_deflate,
)
from tests.raw import REQUEST, fetch, masked, raw_peer
from tests.waiting import until
from wsext import (
    App,
    ConnectionClosed,
    EndSession,
    Interceptor,
    InvalidStatus,
    Response,
    hookimpl,
)

WORDS = "the quick brown fox jumps over the lazy dog " * 50


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
    assert client.protocol.close_code == 1000


async def test_interceptors_see_whole_messages_and_may_end_the_session() -> None:
    class Polite(Interceptor):
        name: ClassVar[str] = "polite"

        @hookimpl
        async def wsext_message_received(self, message: str | bytes) -> str | bytes | None:
            await asyncio.sleep(0)
            if message == "shut up":
                raise EndSession(4003, "be polite")
            return None

        @hookimpl
        def wsext_message_sending(self, message: str | bytes) -> str | bytes:
            return message.upper()

    settings = with_deflate()
    settings.install(Polite)
    async with running(echo, settings=settings) as server, foreign_connect(server.ws) as client:
        await client.send(["plea", "se"])
        assert await client.recv() == "PLEASE"
        await client.send(["shut", " up"])
        await client.wait_closed()
    assert (client.protocol.close_code, client.protocol.close_reason) == (4003, "be polite")


@pytest.mark.parametrize("accepted", [True, False])
async def test_an_asynchronous_close_is_awaited(accepted: bool) -> None:
    """Also after a handshake that the application denies."""
    extension = ClosesLater()
    settings = App()
    settings.install(extension)
    app = echo if accepted else sending({"type": "websocket.close"})
    async with running(app, settings=settings) as server:
        with nullcontext() if accepted else pytest.raises(InvalidStatus):
            async with wsext.connect(server.ws, extensions=[ClosesLater]) as session:
                await session.send("hello")
                assert await session.receive() == "hello"
        await until(lambda: not server.server.server_state.tasks)
    assert extension.begun == extension.closed == 1


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
        malformed = REQUEST.format(path="/", more="Sec-WebSocket-Extensions: ;;;\r\n").encode()
        assert (await fetch(server.port, malformed))[0] == 400
    assert [line.rpartition(" ")[2] for line in caplog.messages if "WebSocket" in line] == [
        "426",
        "400",
        "405",
        "414",
        "400",
    ]


async def test_the_origins_of_the_configuration_hold(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    settings = App(options=wsext.WebSocketOptions(origins=("https://mine.example",)))
    async with running(echo, settings=settings) as server:
        async with foreign_connect(server.ws, origin="https://mine.example"):  # type: ignore[arg-type]
            pass
        with pytest.raises(ForeignInvalidStatus) as caught:
            await foreign_connect(server.ws, origin="https://other.example")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
    (line,) = (line for line in caplog.messages if "other.example" in line)
    assert '"WebSocket /" 403: a page of https://other.example may not connect: origins' in line


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
    assert client.protocol.close_code == 1012
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


async def test_a_bomb_is_1009() -> None:
    async with (
        running(echo, settings=with_deflate(), ws_max_size=1 << 20) as server,
        foreign_connect(server.ws) as client,
    ):
        await client.send(b"\x00" * (1 << 20))
        assert len(await client.recv()) == 1 << 20
        await client.send(b"\x00" * ((1 << 20) + 1))
        await client.wait_closed()
        assert client.protocol.close_code == 1009


# --- configuration ----------------------------------------------------------------------------


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="Protocoll"):
        _ = uvicorn_module().Protocoll


def uvicorn_module() -> Any:
    import wsext.integrations.uvicorn as module

    return module
