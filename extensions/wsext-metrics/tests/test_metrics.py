"""The page says what has happened, over one worker and over two."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.request import Request as Asked
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from wsext_metrics import Metrics

import wsext
from tests import brokers
from tests.e2e.processes import ENV, serving
from wsext import App, ServerOptions, Session, testing


class TestMetrics(testing.InterceptorSuite):
    extension = Metrics


class Page(dict[frozenset[str], float]):
    """Values by metric and label values, in any order."""

    def __call__(self, *names: str) -> float:
        return self.get(frozenset(names), 0.0)


async def scrape(http: str, **headers: str) -> Page:
    """What the page says."""

    def get() -> str:
        with urlopen(Asked(f"{http.rstrip('/')}/metrics", headers=headers)) as answer:
            return str(answer.read().decode())

    text = await asyncio.to_thread(get)
    return Page(
        (frozenset({sample.name, *sample.labels.values()}), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def make_app(route: str, **options: Any) -> App:
    """An app with a route of its own, for the counters are the process's."""
    app = App(server=ServerOptions(trusted_proxies=("127.0.0.1",), handshake_rate=0.5))
    app.install("permessage-deflate")
    app.install("metrics", sample=1, **options)

    @app.websocket(route)
    async def echo(session: Session, **params: str) -> None:
        async for message in session:
            await session.send(message)

    return app


async def test_sessions_messages_bytes_and_ends() -> None:
    async with wsext.serve(make_app("/one/<name>")) as server:
        http = f"http://127.0.0.1:{server.port}"
        url = f"{server.url}/one/x"
        async with wsext.connect(url, extensions=["permessage-deflate"]) as session:
            for _ in range(3):
                await session.send("hello " * 100)
                await session.receive()
            seen = await scrape(http)
            route = "/one/<name>"
            assert seen("wsext_sessions", route) == 1
            assert seen("wsext_messages_total", route, "in") == 3
            assert seen("wsext_app_bytes_total", route, "out") == 1800
            assert 0 < seen("wsext_wire_bytes_total", route, "out") < 300
            assert seen("wsext_outgoing_bytes", route) == 0
            extension = "permessage-deflate"
            for direction in ("in", "out"):
                assert seen("wsext_extension_bytes_total", extension, direction, "app") == 1800
                assert 0 < seen("wsext_extension_bytes_total", extension, direction, "wire") < 300
                assert seen("wsext_extension_seconds_total", extension, direction) > 0
            await session.close(3001)
        with pytest.raises(wsext.InvalidStatus):
            await wsext.connect(f"{server.url}/nowhere")
        seen = await scrape(http)
        while seen("wsext_sessions", route):
            seen = await scrape(http)
        assert seen("wsext_closes_total", route, "3001", "peer") == 1
        assert seen("wsext_handshakes_total", route, "101") == 1
        assert seen("wsext_handshakes_total", "", "404") >= 1
        assert seen("wsext_session_duration_seconds_count", route) == 1
        assert seen("wsext_messages_total", route, "in") == 3


async def test_rooms_and_a_broker_that_goes_away(tmp_path: Path) -> None:
    app = make_app("/rooms")

    @app.websocket("/tea")
    async def tea(session: Session) -> None:
        async with app.room("tea").join(session) as members:
            async for message in session:
                await members.broadcast(message)

    with brokers.running("redis", tmp_path) as broker:
        app.server_options = app.server_options.replace({"backplane": broker.url})
        async with wsext.serve(app) as server, wsext.connect(f"{server.url}/tea") as session:
            http = server.url.replace("ws", "http", 1)
            before = await scrape(http)
            assert before("wsext_backplane_connected") == 1
            await session.send("hello")
            assert await session.receive() == "hello"
            page = await scrape(http)
            for names in (["wsext_room_messages_total"], ["wsext_room_copies_total", "delivered"]):
                assert page(*names) == before(*names) + 1
            while not page("wsext_backplane_messages_total", "published"):
                page = await scrape(http)
            broker.kill()
            while page("wsext_backplane_connected"):
                page = await scrape(http)
            await session.send("nobody else hears this for now")
            assert await session.receive()
            assert (await scrape(http))("wsext_backplane_queued_messages") == 1


async def test_limits_and_the_token() -> None:
    async with wsext.serve(make_app("/two", token="s3cret")) as server:
        http = f"http://127.0.0.1:{server.port}"
        mine = {"X-Forwarded-For": "203.0.113.9"}
        for _ in range(5):
            await (await wsext.connect(f"{server.url}/two", headers=mine)).close()
        with pytest.raises(wsext.InvalidStatus, match="too many handshakes"):
            await wsext.connect(f"{server.url}/two", headers=mine)
        seen = await scrape(http, Authorization="Bearer s3cret")
        assert seen("wsext_limits_total", "handshake_rate") >= 1
        assert seen("wsext_handshakes_total", "/two", "429") == 1
        for wrong in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(OSError, match="401"):
                await scrape(http, **wrong)


async def test_every_worker_answers_for_all() -> None:
    env = {**ENV, "WSEXT_PLUGINS": "permessage-deflate,metrics"}
    options = ("--metrics", "--workers", "2", "--ext", "metrics:every=0.1")
    with serving(*options, env=env) as served:
        sessions = [await wsext.connect(f"{served.ws}/echo") for _ in range(4)]
        for session in sessions:
            await session.send("x")
            await session.receive()
        for _ in range(4):  # both of them are asked
            while True:
                seen = await scrape(served.http)
                if seen("wsext_messages_total", "/echo", "in") == 4:
                    break
            assert seen("wsext_sessions", "/echo") == 4
            assert seen("wsext_handshakes_total", "/echo", "101") == 4
        await asyncio.gather(*(session.close() for session in sessions))
