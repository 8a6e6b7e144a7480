"""The live page without a browser: who may see it, what it tells, what it leaves out."""

from __future__ import annotations

import ast
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.raw import fetch
from wsext import App, InvalidStatus, Session, testing
from wsext.inspector import Inspector
from wsext.inspector.frames import Recorder

ROOT = Path(__file__).parents[2]


def app_with(inspector: Inspector) -> App:
    app = App()
    app.install("permessage-deflate", threshold=64)
    app.install(inspector)

    @app.websocket("/echo/<what>")
    async def echo(session: Session, what: str) -> None:
        async for message in session:
            if message == "fail":
                raise RuntimeError("the secret of the handler")
            await session.send(message)

    return app


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Inspector, wsext.Server]]:
    inspector = Inspector(**options)
    async with wsext.serve(app_with(inspector)) as server:
        yield inspector, server


def page(inspector: Inspector, server: wsext.Server, **headers: str) -> Any:
    """A connection of a page, opened by a program with the token."""
    headers = {"Authorization": f"Bearer {inspector.token}", **headers}
    return wsext.connect(f"{server.url}/_wsext/live", headers=headers)


async def find(feed: Session, kind: str, wanted: Any = lambda event: True) -> Any:
    """The next message of a kind that is wanted."""
    while True:
        event = await feed.receive_json()
        if event["type"] == kind and wanted(event):
            return event


async def get(server: wsext.Server, path: str, *headers: str) -> tuple[int, Any, bytes]:
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
    return await fetch(server.port, "\r\n".join(lines).encode())


# --- who may see it ---------------------------------------------------------------------------


async def test_without_the_token_there_is_nothing_to_see() -> None:
    async with serving() as (inspector, server):
        wrong = "Authorization: Bearer " + "x" * len(inspector.token)
        for headers in ([], [wrong], ["Authorization: x"], [wrong, wrong], ["Cookie: wsext_=1; a"]):
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
        assert b"Sessions now" in body
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
    first, second = Inspector(), Inspector()
    headers = wsext.Headers({"Authorization": f"Bearer {first.token}"})
    request = wsext.Request("GET", "/_wsext/login", headers, secure=True)
    response = first._login(request)
    assert response.headers["Set-Cookie"].endswith("; Secure")
    assert first._cookie_name != second._cookie_name


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


# --- what it tells ----------------------------------------------------------------------------


async def test_sessions_their_negotiation_and_their_frames() -> None:
    async with serving() as (inspector, server):
        url = f"{server.url}/echo/a?token=s3cret"
        async with (
            page(inspector, server) as feed,
            wsext.connect(url, extensions=["permessage-deflate"], subprotocols=[]) as client,
        ):
            hello = await find(feed, "hello")
            assert hello["extensions"] == ["permessage-deflate"]
            overview = await find(feed, "overview", lambda event: event["rows"])
            (row,) = overview["rows"]  # not the page's own
            assert overview["sessions"] == 1
            assert (row["path"], row["extensions"]) == ("/echo/a", ["permessage-deflate"])
            await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
            watching = await find(feed, "watching")
            assert watching["stages"] == ["app", "permessage-deflate", "wire"]
            (offer,) = watching["offers"]
            assert offer["verdict"] == "agreed"
            assert watching["header"].startswith("permessage-deflate")
            await client.send("hello " * 100)
            await client.receive()
            frames = (await find(feed, "frames"))["frames"]
            incoming = [frame for frame in frames if frame["number"] == 1]
            assert [frame["stage"] for frame in incoming] == ["wire", "permessage-deflate", "app"]
            assert [frame["rsv"] for frame in incoming] == ["RSV1", "", ""]
            assert incoming[0]["size"] < 30
            assert incoming[2]["size"] == 600
            assert incoming[2]["preview"] == ("hello " * 100)[:80]
            outgoing = [frame for frame in frames if frame["number"] == 2]
            assert [frame["stage"] for frame in outgoing] == ["app", "permessage-deflate", "wire"]
            await client.send("fail")
            await client.wait_closed()
            overview = await find(feed, "overview", lambda event: event["closed"])
            (closed,) = overview["closed"]
            assert (closed["code"], closed["by"], closed["error"]) == (
                1011,
                "server",
                "RuntimeError",
            )
            assert overview["codes"] == {"1011": 1}
            assert overview["sessions"] == 0
            assert overview["incoming"]["app"] == 604
            await feed.send_json({"type": "watch", "session": row["id"]})
            assert (await find(feed, "watching"))["session"] is None


async def test_frames_are_traced_only_while_a_page_watches() -> None:
    async with (
        serving() as (inspector, server),
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        await client.send("unseen")
        await client.receive()
        (session,) = server.sessions
        own: list[str] = []
        session.trace(lambda direction, stage, frame: own.append(stage))
        async with page(inspector, server) as first, page(inspector, server) as second:
            for feed in (first, second):
                await feed.send_json({"type": "watch", "session": session.id, "payload": True})
                await find(feed, "watching")
            await client.send("both")
            await client.receive()
            for feed in (first, second):
                seen = await find(feed, "frames")
                assert {frame["preview"] for frame in seen["frames"]} == {"both"}
            await second.send_json({"type": "watch", "session": session.id, "payload": False})
            await find(second, "watching")
            await client.send("one")
            await client.receive()
            await find(first, "frames", lambda event: event["frames"][-1]["preview"] == "one")
            assert {f["preview"] for f in (await find(second, "frames"))["frames"]} == {""}
        count = len(own)
        while inspector.register.pages:
            await client.ping()
        await client.send("alone")
        await client.receive()
        assert len(own) > count  # the app's own trace stays


async def test_payloads_can_be_off_for_every_page() -> None:
    async with (
        serving(payload=False) as (inspector, server),
        page(inspector, server) as feed,
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        assert (await find(feed, "hello"))["payload"] is False
        (row,) = (await find(feed, "overview", lambda event: event["rows"]))["rows"]
        await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
        await find(feed, "watching")
        await client.send("s3cret")
        await client.receive()
        assert {f["preview"] for f in (await find(feed, "frames"))["frames"]} == {""}


async def test_what_a_page_sends_is_checked() -> None:
    async with serving() as (inspector, server), page(inspector, server) as feed:
        await feed.send_json({"type": "watch", "session": 5})
        assert (await feed.wait_closed()).remote == (1008, "invalid message at $.session")


async def test_a_flood_of_frames_is_sampled_and_the_rest_counted() -> None:
    async with (
        serving() as (inspector, server),
        page(inspector, server) as feed,
        wsext.connect(f"{server.url}/echo/a") as client,
    ):
        (row,) = (await find(feed, "overview", lambda event: event["rows"]))["rows"]
        await feed.send_json({"type": "watch", "session": row["id"], "payload": True})
        await find(feed, "watching")
        sent = 3000
        client.create_task(_flood(client, sent))
        for _ in range(sent):
            await client.receive()
        shown = left_out = 0
        while shown + left_out < 2 * sent:
            event = await find(feed, "frames")
            assert len(event["frames"]) <= 240
            numbers = {frame["number"] for frame in event["frames"]}
            for number in numbers:  # whole journeys only
                stages = [f["stage"] for f in event["frames"] if f["number"] == number]
                assert sorted(stages) == ["app", "wire"]
            shown += len(numbers)
            left_out += event["left_out"]
        assert left_out > 0
        assert shown + left_out == 2 * sent


async def _flood(client: Session, count: int) -> None:
    for _ in range(count):
        await client.send("x")


async def test_a_recorder_takes_no_more_than_its_bound() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        recorder = Recorder(session, payload=True)
        for _ in range(1000):
            await session.send(b"\x00\xff")
        frames, left_out = recorder.take()
        assert len(frames) == 120
        assert left_out == 1000 - 60
        assert {frame.preview for frame in frames} == {"00 ff"}
        assert recorder.take() == ([], 0)
        recorder.end()
        await session.send("x")
        assert recorder.take() == ([], 0)

    async with testing.connect(app) as client:
        async for _ in client:
            pass
        info = await client.wait_closed()
    assert info.code == 1000


def test_the_inspector_uses_only_public_names() -> None:
    for path in (ROOT / "wsext" / "inspector").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "wsext":
                if node.module != "wsext":
                    assert str(node.module).startswith("wsext.inspector."), path
                else:
                    assert {alias.name for alias in node.names} <= set(wsext.__all__)
