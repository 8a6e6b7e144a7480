"""The access log: what its records say, as text and as JSON."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.raw import fetch
from tests.server.apps import echo_app
from wsext.server.access import JSONFormatter


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


async def test_nothing_is_made_of_what_nobody_reads(log: Any) -> None:
    logging.getLogger("wsext.access").setLevel("WARNING")
    async with wsext.serve(echo_app()) as server, wsext.connect(server.url):
        pass
    assert log() == []
