"""What operators look at: the access log, and whether the server is well and ready."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import wsext as package
from tests.e2e.processes import ENV, serving, wsext
from tests.raw import fetch


async def get(port: int, path: str, host: str = "x") -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    status, _, body = await fetch(port, request)
    return status, body


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "worker"])
def test_the_admin_port_and_what_systemd_is_told(workers: tuple[str, ...], tmp_path: Path) -> None:
    """All of systemd's part is a socket; without a terminal, SIGHUP asks for a reload."""
    env = {**ENV, "WSEXT_PLUGINS": "metrics", "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(60)
        systemd.bind(env["NOTIFY_SOCKET"])
        options = ("--admin-port", "0", "--metrics", "--inspect", *workers)
        with serving(*options, env=env, start_new_session=True) as served:
            assert served.process.stdout is not None
            admin = int(served.process.stdout.readline().rstrip("/\n").rpartition(":")[2])
            page = served.process.stdout.readline()
            assert systemd.recv(100) == b"READY=1"
            found = re.fullmatch(r"inspect: http://127.0.0.1:(\d+)(/_wsext\S*/)#\S+\n", page)
            assert found is not None
            assert (int(found[1]), found[2]) == (admin, f"/_wsext/{'1/' if workers else ''}")
            assert b"token" in asyncio.run(get(admin, found[2]))[1]
            for path in ("/healthz", "/readyz", "/metrics"):
                assert asyncio.run(get(served.port, path))[0] == 404
                assert asyncio.run(get(admin, path, "localhost"))[0] == 200
            assert asyncio.run(get(admin, "/echo"))[0] == 404
            page = asyncio.run(get(admin, "/metrics", "localhost"))[1]
            assert b'wsext_handshakes_total{route="",status="404"} 3.0\n' in page
            served.process.send_signal(signal.SIGHUP)
            assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(100) == b"READY=1"
            assert asyncio.run(get(admin, "/readyz"))[0] == 200
        assert systemd.recv(100) == b"STOPPING=1"


def test_health_is_served_when_asked_for() -> None:
    with serving() as served:
        assert asyncio.run(get(served.port, "/readyz"))[0] == 404


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
