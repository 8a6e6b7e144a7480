"""Reading the request as HTTP/1.1: what is no request, what comes with it, what comes too late."""

from __future__ import annotations

import asyncio
import logging

import pytest

import wsext
from tests.raw import REQUEST, fetch, masked, raw_peer
from tests.server.apps import echo, echo_app
from wsext import (
    App,
    Request,
)

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
