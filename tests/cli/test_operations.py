"""What operators look at: the access log, and whether the server is well and ready."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

import wsext as package
from tests.e2e.processes import serving, wsext
from tests.raw import fetch


async def get(port: int, path: str) -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    status, _, body = await fetch(port, request)
    return status, body


def test_health_is_served_when_asked_for() -> None:
    with serving("--health", "--workers", "1") as served:
        port = int(served.http.rstrip("/").rpartition(":")[2])
        assert asyncio.run(get(port, "/readyz"))[0] == 200
    with serving() as served:
        port = int(served.http.rstrip("/").rpartition(":")[2])
        assert asyncio.run(get(port, "/readyz"))[0] == 404


async def talk(url: str) -> None:
    offer = ["permessage-deflate"]
    async with package.connect(f"{url}/echo?token=secret", extensions=offer) as session:
        await session.send("hello " * 100)
        await session.receive()


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "worker"])
def test_the_access_log_as_json(workers: tuple[str, ...]) -> None:
    options = ("--access-log", "json", *workers)
    with serving(*options, access_log=None, stderr=subprocess.PIPE) as served:
        asyncio.run(talk(served.ws))
        assert served.process.stderr is not None
        lines = []
        while len(lines) < 2:
            line = served.process.stderr.readline()
            assert "secret" not in line
            if line.startswith("{"):
                lines.append(json.loads(line))
    request, session = lines
    assert (request["event"], request["status"], request["route"]) == ("request", 101, "/echo")
    assert session["event"] == "session"
    assert (session["code"], session["clean"], session["messages_in"]) == (1000, True, 1)
    assert session["bytes_in"] == 600 > session["wire_bytes_in"] > 0
    assert session["extensions"] == ["permessage-deflate"]
    assert 0 < session["duration"] < 30
    assert session["remote"].startswith("127.0.0.1:")
    assert session["time"].endswith("+00:00")


def test_the_access_log_as_text_or_off() -> None:
    for kind, expected in (("text", True), ("off", False)):
        with serving("--access-log", kind, access_log=None, stderr=subprocess.PIPE) as served:
            asyncio.run(talk(served.ws))
            served.process.send_signal(signal.SIGTERM)
            assert served.process.stderr is not None
            text = served.process.stderr.read()
        assert ("GET /echo HTTP/1.1 -> 101" in text) is expected
        assert ("/echo ended with 1000 after" in text) is expected
        assert "secret" not in text


def test_metrics_need_their_plugin(tmp_path: Path) -> None:
    done = wsext("serve", "--metrics", cwd=tmp_path)  # WSEXT_PLUGINS does not have it here
    assert done.returncode == 1
    assert done.stderr.startswith("wsext: plugin 'metrics' (from wsext-metrics): is disabled")
