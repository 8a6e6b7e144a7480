"""The application's side: what it may send and when, and what it is told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect as foreign_connect
from websockets.exceptions import ConnectionClosed as ForeignClosed

import wsext
from tests.integrations.served import (
    Receive,
    Recorder,
    Scope,
    Send,
    refused,
    running,
    sending,
    with_deflate,
)
from tests.raw import REQUEST, masked, raw_peer
from wsext import App, Request, hookimpl
from wsext.integrations.asgi import ClientDisconnected


async def test_the_bytes_of_a_header_are_passed_on() -> None:
    app = Recorder()
    async with running(app) as server, wsext.connect(server.ws, headers={"X-Name": "abra\xe3o"}):
        pass
    assert (b"x-name", b"abra\xe3o") in app.scope["headers"]


async def test_an_identity_that_expires_is_a_disconnect_with_1008() -> None:
    """A hook has set it; the application renews it, or has to do with what it has."""
    events: list[dict[str, Any]] = []

    class Known:
        @hookimpl
        def wsext_handshake(self, request: Request) -> None:
            request.identity, request.expires = "ada", time.time() + 60

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["extensions"]["wsext"]["session"]
        assert session.identity == "ada"
        await receive()
        await send({"type": "websocket.accept"})
        session.renew("ada", expires=time.time() + 0.05)
        events.append(await receive())

    settings = App()
    settings.install(Known())
    async with running(app, settings=settings) as server, wsext.connect(server.ws) as session:
        assert (await session.wait_closed()).remote == (1008, "the identity has expired")
    assert [(event["type"], event["code"]) for event in events] == [("websocket.disconnect", 1008)]


async def test_the_scope_is_complete_and_has_what_was_agreed() -> None:
    app = Recorder()
    async with running(app, settings=with_deflate(), root_path="/api") as server:
        async with foreign_connect(
            f"{server.ws}/one%2Ftwo?a=1&b=%20",
            subprotocols=["chat.v2", "chat.v1"],  # type: ignore[list-item]
            additional_headers={"X-Name": "abra"},
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
        assert headers[b"x-name"] == b"abra"


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
    assert (client.protocol.close_code, client.protocol.close_reason) == (
        code or 1000,
        reason or "",
    )
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
        assert client.protocol.close_code == 1006


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
