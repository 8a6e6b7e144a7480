"""The reference app, in process: echo, greet, chat, health, the page's feed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

import wsext
from tests.raw import fetch
from wsext import Server
from wsext.inspector import Inspector
from wsext.reference import FEEDS, build_app


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = build_app()
    app.install("permessage-deflate")
    async with wsext.serve(app) as server:
        yield server


async def test_greet(server: Server) -> None:
    async with wsext.connect(f"{server.url}/greet") as session:
        assert await session.receive() == "Please enter your name"
        await session.send("Ada")
        assert await session.receive() == "Hi, Ada!"
        await session.send("bye")
        info = await session.wait_closed()
    assert info.remote == (1000, "Client said BYE")


async def test_chat(server: Server) -> None:
    async with (
        wsext.connect(f"{server.url}/chat") as first,
        wsext.connect(f"{server.url}/chat") as second,
    ):
        assert await first.receive() == "You are connected! There are 1 users here."
        assert await second.receive() == "You are connected! There are 2 users here."
        await second.send("hello")
        assert await first.receive() == "[user1]: hello"
        assert await second.receive() == "[user1]: hello"
        status, _, body = await fetch(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, msgspec.json.decode(body)) == (200, {"status": "ok", "chatting": 2})
    async with wsext.connect(f"{server.url}/chat") as third:
        await third.receive()
        await third.send("numbers are not used again")
        assert str(await third.receive()).startswith("[user2]:")


async def test_a_name_is_taken_once_and_cannot_look_like_a_line_of_somebody_else(
    server: Server,
) -> None:
    for asked, shown in (
        ("Ada", "Ada"),
        ("Ada", "Ada 2"),
        ("[x]:%20a%0ab%E2%80%AE", "x: ab"),
        ("n" * 50, "n" * 24),
        ("%5B%5D", "user0"),
    ):
        session = await wsext.connect(f"{server.url}/chat?name={asked}")
        await session.receive()
        await session.send("hello")
        assert await session.receive() == f"[{shown}]: hello"
        if asked != "Ada":
            await session.close()


async def test_the_page_is_told_whether_the_inspector_is_here(server: Server) -> None:
    async def about(port: int) -> object:
        _, _, body = await fetch(port, b"GET /web/about.json HTTP/1.1\r\nHost: x\r\n\r\n")
        return msgspec.json.decode(body)

    assert await about(server.port) == {"inspector": None}
    app = build_app()
    app.install(Inspector(hidden=[FEEDS]))
    async with wsext.serve(app) as inspected:
        assert await about(inspected.port) == {"inspector": "_wsext/"}


async def test_echo_compresses(server: Server) -> None:
    opening = wsext.connect(f"{server.url}/echo", extensions=["permessage-deflate"])
    async with opening as session:
        await session.send("again and " * 1000)
        assert await session.receive() == "again and " * 1000
        stats = session.stats
    assert (stats.app_bytes_in, stats.app_bytes_out) == (10000, 10000)
    assert stats.wire_bytes_in < 200
    assert stats.wire_bytes_out < 200


async def test_the_page_has_a_strict_policy(server: Server) -> None:
    status, headers, body = await fetch(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"<title>wsext</title>" in body
