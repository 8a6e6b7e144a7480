"""The live page without a browser: who may see it, what it tells, what it leaves out."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import wsext
from tests.inspector.pages import get, page, serving
from wsext import InvalidStatus

ROOT = Path(__file__).parents[2]


# --- who may see it ---------------------------------------------------------------------------


async def test_without_the_token_there_is_nothing_to_see() -> None:
    async with serving() as (inspector, server):
        wrong = "Authorization: Bearer " + "x" * len(inspector.token)
        for headers in ([], [wrong], ["Authorization: x"], ["Cookie: wsext_=1; a"]):
            status, found, body = await get(server, "/_wsext/", *headers)
            assert status == 403
            assert b"sessions" not in body
            assert "default-src 'none'" in found["content-security-policy"]
            status, found, _ = await get(server, "/_wsext/login", *headers)
            assert status == 403
            assert "set-cookie" not in found
        for options in ({}, {"headers": {"Authorization": "Bearer no"}}):
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(f"{server.url}/_wsext/live", **options)
            assert caught.value.status == 403
        assert (await get(server, "/_wsext"))[0] in (301, 308)


async def test_the_token_becomes_a_cookie(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wsext")
    async with serving() as (inspector, server):
        assert inspector.url("http://h:1/") == f"http://h:1/_wsext/#{inspector.token}"
        bearer = f"Authorization: Bearer {inspector.token}"
        status, headers, _ = await get(server, "/_wsext/login", bearer)
        assert status == 204
        cookie, *attributes = headers["set-cookie"].split("; ")
        assert attributes == ["path=/_wsext", "httponly", "samesite=strict"]
        assert inspector.token not in cookie
        status, headers, body = await get(server, "/_wsext/", f"Cookie: {cookie}")
        assert status == 200
        assert headers["cache-control"] == "no-store"
        assert b'<table id="sessions">' in body
        asked = {"Cookie": cookie}
        async with wsext.connect(f"{server.url}/_wsext/live", headers=asked) as feed:
            assert (await feed.receive_json())["type"] == "hello"
        origin = f"http://127.0.0.1:{server.port}"
        async with wsext.connect(f"{server.url}/_wsext/live", headers=asked, origin=origin) as feed:
            assert (await feed.receive_json())["type"] == "hello"
        for origin in ("http://127.0.0.1:1", "https://evil.example", "null"):
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(f"{server.url}/_wsext/live", headers=asked, origin=origin)
            assert caught.value.status == 403
        assert inspector.token not in caplog.text


async def test_the_cookie_is_marked_secure_over_tls_and_two_servers_have_two() -> None:
    names = set()
    for _ in range(2):
        async with serving(trusted_proxies=("127.0.0.1",)) as (inspector, server):
            bearer = f"Authorization: Bearer {inspector.token}"
            secure = "X-Forwarded-Proto: https"
            _, headers, _ = await get(server, "/_wsext/login", bearer, secure)
            cookie = headers["set-cookie"]
            assert cookie.endswith("; secure")  # `get` gives values in small letters
            names.add(cookie.partition("=")[0])
    assert len(names) == 2


async def test_only_so_many_pages_at_a_time() -> None:
    async with serving() as (inspector, server):
        feeds = [await page(inspector, server) for _ in range(8)]
        for feed in feeds:
            await feed.receive()
        with pytest.raises(InvalidStatus) as caught:
            await page(inspector, server)
        assert caught.value.status == 503
        await feeds.pop().close()
        for feed in feeds:
            await feed.close()
        async with page(inspector, server) as feed:
            assert (await feed.receive_json())["type"] == "hello"


def test_the_inspector_uses_only_public_names() -> None:
    for path in (ROOT / "wsext" / "inspector").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "wsext":
                if node.module != "wsext":
                    assert str(node.module).startswith("wsext.inspector."), path
                else:
                    assert {alias.name for alias in node.names} <= set(wsext.__all__)
