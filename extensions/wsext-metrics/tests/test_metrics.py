"""The page says what has happened, over one worker and over two."""

from __future__ import annotations

import asyncio
import logging
import platform
from pathlib import Path
from typing import Any
from urllib.request import Request as Asked
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from wsext_metrics import Metrics
from wsext_resume import SessionResume

import wsext
from tests import brokers
from tests.e2e.processes import ENV, serving
from tests.raw import REQUEST, fetch, masked
from tests.relay import relaying
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
            assert seen("wsext_held_bytes", "codecs") > 1000
            build = wsext.__version__, platform.python_version(), wsext.CODEC, "asyncio"
            assert seen("wsext_build_info", *build) == 1
            assert seen("wsext_held_bytes", "inbox") == seen("wsext_held_bytes", "rooms") == 0
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


async def test_sessions_without_a_connection_and_what_their_extension_counts() -> None:
    app = make_app("/kept")
    app.install(SessionResume())
    route = "/kept"
    async with wsext.serve(app) as server, relaying(server.port) as relay:
        http = f"http://127.0.0.1:{server.port}"
        backoff = wsext.Backoff(initial=0.01, maximum=0.05)
        async with wsext.connect(
            f"{relay.url}kept", extensions=[SessionResume()], backoff=backoff
        ) as session:
            (kept,) = server.sessions
            relay.plan.extend([AWAY] * 10_000)
            kept.send_nowait("lost")
            await asyncio.sleep(0)  # it is written, and the relay has not read it
            relay.cut()
            while not (seen := await scrape(http))("wsext_detached_sessions", route):
                pass
            relay.plan.clear()
            assert seen("wsext_sessions", route) == 1
            kept.send_nowait("kept")
            assert [await session.receive(), await session.receive()] == ["lost", "kept"]
            for _ in range(2):  # the same id twice, and one that nobody has
                await fetch(server.port, offering("x" * 32))
            seen = await scrape(http)
            assert seen("wsext_detached_sessions", route) == 0
            assert seen("wsext_detached_seconds_count", route) == 1
            assert seen("wsext_replayed_messages_total", route) == 1
            assert seen("wsext_replayed_bytes_total", route) == 4
            assert seen("wsext_extension_events_total", "session-resume", "refused unknown") == 2


#: What a proxy says whose server is away.
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def offering(id: str) -> bytes:
    more = f"Sec-WebSocket-Extensions: session-resume; id={id}; received=0\r\n"
    return REQUEST.format(path="/kept", more=more).encode() + masked(8, b"\x03\xe8")


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
            page = await scrape(http)
            assert page("wsext_backplane_queued_messages") == 1
            assert page("wsext_held_bytes", "backplane") > 30
            assert page("wsext_held_bytes", "contexts") == 0


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


async def ask(server: wsext.Server, *lines: str) -> tuple[int, dict[str, str], bytes]:
    """The page, asked for from this machine with these headers."""
    head = ["GET /metrics HTTP/1.1", *(lines or ("Host: localhost",)), "", ""]
    return await fetch(server.port, "\r\n".join(head).encode())


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: localhost"], 200),
        (["Host: 127.0.0.1:8765"], 200),
        (["Host: LOCALHOST:1"], 200),
        (["Host: evil.example"], 403),
        (["Host: [zz]"], 400),
        (["Host: localhost", "X-Forwarded-For: 203.0.113.9"], 403),
        (["Host: localhost", "X-Forwarded-For: 127.0.0.1"], 403),
        (["Host: localhost", "Via: 1.1 proxy"], 403),
        (["Host: localhost", "Forwarded: for=203.0.113.9"], 403),
    ],
)
async def test_without_a_token_only_this_machine_may_look(lines: list[str], status: int) -> None:
    async with wsext.serve(make_app("/mine")) as server:
        assert (await ask(server, *lines))[0] == status


async def test_behind_a_unix_socket_may_be_anybody(tmp_path: Path) -> None:
    async with wsext.serve(make_app("/unix"), uds=str(tmp_path / "s")):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ([], "text/plain"),
        (["text/plain; version=nonsense"], "text/plain"),
        (["application/openmetrics-text; version=nonsense"], "application/openmetrics-text"),
        (["application/openmetrics-text", "text/plain"], "application/openmetrics-text"),
        (["*/*", "\xff"], "text/plain"),
    ],
)
async def test_whatever_a_scraper_accepts_it_gets_one_of_two(
    accept: list[str], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with wsext.serve(make_app("/accepted")) as server:
        lines = ["Host: localhost", *(f"Accept: {value}" for value in accept)]
        status, headers, _ = await ask(server, *lines)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("said", ["bearer s3cret", "Bearer  s3cret"])
async def test_the_scheme_is_in_any_case(said: str) -> None:
    async with wsext.serve(make_app("/said", token="s3cret")) as server:
        lines = ["Host: elsewhere.example", f"Authorization: {said}"]
        assert (await ask(server, *lines))[0] == 200
        assert (await ask(server, lines[0], "Authorization: Basic s3cret"))[0] == 401
        assert (await ask(server, *lines, lines[1]))[0] == 400


async def test_peers_cannot_make_more_than_a_few_close_codes() -> None:
    async with wsext.serve(make_app("/codes")) as server:
        for code in (1000, 1001, *range(3000, 3100)):
            async with wsext.connect(f"{server.url}/codes") as session:
                await session.close(code)
        seen = await scrape(f"http://127.0.0.1:{server.port}")
        while seen("wsext_sessions", "/codes"):
            seen = await scrape(f"http://127.0.0.1:{server.port}")
        names = [names for names in seen if {"wsext_closes_total", "/codes"} <= names]
        assert len(names) == 2 + 16 + 1
        assert seen("wsext_closes_total", "/codes", "other", "peer") == 100 - 16


async def test_those_who_ask_at_the_same_time_get_the_same_page() -> None:
    app = make_app("/together")
    async with wsext.serve(app) as server:
        answers = await asyncio.gather(*(ask(server) for _ in range(8)))
        assert len({body for _, _, body in answers}) < 8
        assert {status for status, _, _ in answers} == {200}


@pytest.mark.parametrize("source", ["set", "ext", "environment", "file"])
async def test_the_token_comes_from_every_source_and_is_shown_nowhere(
    source: str, tmp_path: Path
) -> None:
    env = {**ENV, "WSEXT_PLUGINS": "metrics"}
    options: tuple[str, ...] = ("--metrics",)
    if source == "set":
        options += ("--set", "extensions.metrics.token=s3cret")
    elif source == "ext":
        options += ("--ext", "metrics:token=s3cret")
    elif source == "environment":
        env["WSEXT_EXTENSIONS__METRICS__TOKEN"] = "s3cret"
    else:
        (tmp_path / "wsext.toml").write_text('[extensions.metrics]\ntoken = "s3cret"\n')
        options += ("--config", str(tmp_path / "wsext.toml"))
    with serving(*options, env=env) as served:
        with pytest.raises(OSError, match="401"):
            await scrape(served.http)
        seen = await scrape(served.http, Authorization="Bearer s3cret")
        assert seen("wsext_handshakes_total", "/metrics", "401") >= 1
