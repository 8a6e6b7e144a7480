"""Responses of an application that denies a handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.integrations.served import Receive, Scope, Send, refused, running, sending
from tests.raw import REQUEST


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
        response, body = await asyncio.to_thread(_answer, server.port)
    assert (response.status, body) == (404, b"x" * 200_000)
    assert ("Transfer-Encoding" in response.headers) is not bool(headers)


def _answer(port: int) -> tuple[HTTPResponse, bytes]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(REQUEST.format(path="/", more="").encode())
        response = HTTPResponse(connection)
        response.begin()
        return response, response.read()
