"""The access log: what its records say, as text and as JSON."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.e2e.processes import serving
from tests.http2.peer import h2_peer
from tests.raw import fetch, raw_peer
from tests.server.apps import echo_app
from wsext import Headers, Request
from wsext.server.access import log_answer
from wsext.server.jsonlog import JSONFormatter


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Any:
    """The records of the access log, each as its text and its JSON."""
    caplog.set_level("INFO", "wsext.access")

    def records() -> list[tuple[str, dict[str, Any]]]:
        formatter = JSONFormatter()
        found = [record for record in caplog.records if record.name == "wsext.access"]
        return [(r.getMessage(), json.loads(formatter.format(r))) for r in found]

    return records


async def test_a_request_and_a_session(log: Any) -> None:
    async with wsext.serve(echo_app()) as server:
        async with wsext.connect(f"{server.url}/?token=secret") as session:
            await session.send("hello")
            await session.receive()
        await server.wait_idle(5)
    (asked, request), (ended, session_) = log()
    remote = request["remote"]
    assert asked == f"{remote} GET / HTTP/1.1 -> 101"
    assert remote.startswith("127.0.0.1:")
    assert (request["event"], request["path"], request["status"]) == ("request", "/", 101)
    assert ended.startswith(f"{remote} / ended with 1000 after 0.")
    assert ended.endswith(" s, 1 messages in, 1 out")
    assert (session_["event"], session_["code"], session_["bytes_in"]) == ("session", 1000, 5)
    assert "secret" not in str(log())


async def test_a_unix_socket_has_an_address_too(log: Any, tmp_path: Path) -> None:
    async with wsext.serve(echo_app(), uds=str(tmp_path / "socket")) as server:
        async with wsext.connect(f"{server.url}:/"):
            pass
        await server.wait_idle(5)
    (asked, request), (ended, session) = log()
    assert asked == "unix GET / HTTP/1.1 -> 101"
    assert ended.startswith("unix / ended with 1000 ")
    assert request["remote"] == session["remote"] == "unix"


async def test_a_malformed_request_has_nothing_to_tell(log: Any) -> None:
    async with wsext.serve(echo_app()) as server:
        await fetch(server.port, b"NONSENSE\r\n\r\n")
    ((text, fields),) = log()
    assert text == "malformed request -> 400"
    assert (fields["event"], fields["status"]) == ("request", 400)


EVIL_PAGE = (
    b"GET /?token=secret HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nOrigin: http://evil\x9b31m\r\n\r\n"
)


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
async def test_a_page_that_may_not_connect_is_one_line(
    level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wsext")
    caplog.set_level(level, "wsext.access")
    async with wsext.serve(echo_app()) as server:
        assert (await fetch(server.port, EVIL_PAGE))[0] == 403
    refused = (
        r"a page of http://evil\x9b31m may not connect: origins allows same, here http://localhost"
    )
    (record,) = (record for record in caplog.records if record.levelno >= logging.INFO)
    assert record.levelname == "WARNING"
    if level == "WARNING":
        assert record.getMessage() == refused
        return
    assert record.getMessage().endswith(f" GET / HTTP/1.1 -> 403: {refused}")
    assert json.loads(JSONFormatter().format(record))["reason"] == refused


async def test_nothing_is_made_of_what_nobody_reads(log: Any) -> None:
    logging.getLogger("wsext.access").setLevel("WARNING")
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url):
        pass
    assert log() == []


EVIL = ("%0aforged", "%1b%5b31m", "%e2%80%ae", "%ed%a0%80", "x" * 5000)


@pytest.mark.parametrize("how", ["text", "json"])
async def test_no_path_forges_a_line_of_the_log(how: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, serving(access_log=how, stderr=file) as served:
        for path in EVIL:
            async with raw_peer(served.port) as peer:
                await peer.shake(f"/{path}")
        for raw in (b"/\x1b[31m", b"/a\rb", b"/\xc2\x85", b"/\x7f"):
            await fetch(served.port, b"GET " + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        async with h2_peer(served.port) as second:
            for path in EVIL:
                await second.response(second.request(f"/{path}"))
    lines = log.read_bytes().decode().split("\n")
    assert all(line.isprintable() for line in lines)
    records = [line for line in lines if '"event"' in line or " wsext.access " in line]
    assert len(records) == 2 * len(EVIL) + 4
    if how == "json":
        assert {json.loads(line)["status"] for line in records} == {400, 404}


def test_json_is_one_line_whatever_a_field_holds(log: Any) -> None:
    evil = "\n\x1b\x85\u2028\u202e\ud800"
    request = Request("GET", f"/{evil}?{evil}", Headers(), remote=evil)
    log_answer(request, 404)
    ((text, fields),) = log()
    assert text.isprintable()
    assert fields["path"].isprintable()
    assert fields["path"] == "/\\n\\x1b\\x85\\u2028\\u202e\\ud800"
