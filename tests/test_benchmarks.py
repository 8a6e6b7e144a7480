"""The benchmark harness measures, checks and reports; how fast anything is, is not tested here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.tools import find

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll")


@pytest.fixture(autouse=True, scope="module")
def compiler() -> str:
    """The load is written in C."""
    return find("cc")


def command(*args: str) -> list[str]:
    return [sys.executable, str(BENCHMARKS / "run.py"), "--rounds", "1", *args]


def run(tmp_path: Path, *args: str, **env: str) -> tuple[dict[str, Any], str]:
    """The report as data and as text."""
    target = tmp_path / "results.json"
    done = subprocess.run(
        command("--seconds", "0.1", "--json", str(target), *args),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(target.read_text()), done.stdout


#: What starts many servers, to see that a page of many workloads can be made.
LONG = pytest.mark.skipif(
    os.environ.get("SHOW") != "full", reason="starts a server for each row; SHOW=full"
)


def test_echo_plain_and_compressed(tmp_path: Path) -> None:
    names = ("64 B, 64 connections", "deflate, 1 KiB of JSON")
    only = [arg for name in names for arg in ("--only", name)]
    results, text = run(tmp_path, *only, "--servers", "wsext,websockets")
    assert [workload["name"] for workload in results["workloads"]] == list(names)
    assert results["left_out"] == []
    for workload in results["workloads"]:
        rows = {row["server"]: row for row in workload["rows"]}
        assert set(rows) == {"wsext", "websockets"}
        assert rows["websockets"]["ratio"] == 1
        for row in rows.values():
            assert row["median"] > 0
            assert row["cpu"] > 0
            assert 0 <= row["idle"] <= 1
            assert f"| {row['server']} | {row['median']:,.0f} |" in text
    plain, deflate = results["workloads"]
    assert plain["zlib6"] is None
    for row in plain["rows"]:
        assert row["size"] == 64
    for row in deflate["rows"]:
        assert "permessage-deflate" in row["agreed"]
        assert 0.5 * deflate["zlib6"] < row["size"] < 1024


@LONG
def test_rooms_sessions_memory(tmp_path: Path) -> None:
    only = ["--only", "broadcast, 64 B to 500", "--only", "handshake, one echo, close"]
    only += ["--only", "idle memory, deflate, one message each"]
    results, _ = run(tmp_path, *only, "--servers", "wsext")
    assert results["left_out"] == []
    assert [workload["unit"] for workload in results["workloads"]] == [
        "deliveries/s",
        "sessions/s",
        "KiB/connection",
    ]
    for workload in results["workloads"]:
        (row,) = workload["rows"]
        assert row["median"] > 0


def test_a_peer_that_does_not_run_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "tornado.py").write_text("raise ImportError('not today')")
    only = ("--only", "64 B, 1 connection", "--servers", "wsext,tornado")
    results, text = run(tmp_path, *only, PYTHONPATH=str(tmp_path))
    assert [row["server"] for row in results["workloads"][0]["rows"]] == ["wsext"]
    assert results["left_out"] == ["tornado: ImportError: not today"]
    assert "- tornado: ImportError: not today" in text


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [("--servers", "picow", "'picows'"), ("--only", "64 B, 65 connections", "'64 B, 64 conn")],
)
def test_an_unknown_name_gets_the_nearest_one(option: str, value: str, hint: str) -> None:
    done = subprocess.run(
        command(option, value), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert f"{value!r}; did you mean {hint}" in done.stderr


def test_ctrl_c_leaves_no_server_behind() -> None:
    mark = uuid.uuid4().hex
    harness = subprocess.Popen(
        command("--seconds", "60", "--only", "64 B, 1 connection", "--servers", "wsext,wsext-tls"),
        env={**os.environ, "BENCHMARK_TEST": mark},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert harness.stderr is not None
    assert "64 B, 1 connection" in harness.stderr.readline()  # the servers are up
    assert len(marked(mark)) > 1
    harness.send_signal(signal.SIGINT)
    _, errors = harness.communicate(timeout=20)
    assert harness.returncode == 130
    assert "Traceback" not in errors
    assert marked(mark) == []


def marked(mark: str) -> list[str]:
    """Every process with this mark in its environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes().decode(errors="replace"):
                found.append(environ.parent.name)
    return found


def test_latency_counts_from_the_intended_time(tmp_path: Path) -> None:
    only = ("--only", "64 connections, 50% of the peak of websockets")
    results, text = run(tmp_path, *only, "--servers", "wsext")
    assert results["left_out"] == []
    peaks, paced = results["workloads"]  # the peaks of both were measured before, unasked
    (row,) = paced["rows"]
    peak = {row["server"]: row["median"] for row in peaks["rows"]}["websockets"]
    assert row["rate"] == pytest.approx(peak / 2)
    tail = row["tail"]
    assert 0 < tail["p50"] <= tail["p99"] <= tail["p99.9"] <= tail["max"]
    assert row["median"] == tail["p99"]
    assert f"| wsext | {row['rate']:,.0f}/s |" in text


def test_latency_grows_when_a_server_cannot_keep_up(tmp_path: Path) -> None:
    """What leaves late because the server is busy has waited since it should have left."""
    pace, floor = tmp_path / "pace", tmp_path / "floor"
    for source, target in (("pace.c", pace), ("servers/floor.c", floor)):
        subprocess.run(["cc", "-O2", "-o", target, BENCHMARKS / source, "-lz"], check=True)
    frame = b"\x81\xc0" + bytes(4) + b"x" * 64
    tape = struct.pack("=2I", 1, len(frame)) + frame
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
    server = subprocess.Popen([floor, port])
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(port))):
                break
        load = [pace, port, "/", "8", "5000000", "0.004", "0", str(server.pid), "64", ""]
        done = subprocess.run(load, input=tape, capture_output=True, check=True, timeout=20)
    finally:
        server.kill()
        server.wait()
    messages, seconds, *_, p50, p99, _, largest, late = map(float, done.stdout.split())
    assert messages == 20_000
    assert seconds > 0.008  # nobody sends as many in the 4 ms that they were meant for
    assert 4e3 < p99 <= largest < 1e6 * (seconds + 2)
    assert 0 < p50 < p99
    assert late > 0


@LONG
def test_other_fronts(tmp_path: Path) -> None:
    names = ["TLS, 64 B, 64 connections", "HTTP/2, 64 B, 64 connections"]
    names += ["client, 64 B, 64 connections", "zstd with a dictionary, short JSON"]
    if shutil.which("redis-server"):
        names.append("redis, 16 in flight")
    only = [arg for name in names for arg in ("--only", name)]
    servers = "wsext,wsext-tls,client-wsext,wsext-redis"
    results, _ = run(tmp_path, *only, "--servers", servers)
    assert results["left_out"] == []
    assert {workload["name"] for workload in results["workloads"]} == set(names)
    for workload in results["workloads"]:
        (row,) = workload["rows"]
        assert row["median"] > 0
        assert row["cpu"] > 0


def figures(names: dict[str, float], less: bool = False) -> dict[str, Any]:
    """A workload as it is reported."""
    rows = [{"server": name, "median": value, "ratio": value} for name, value in names.items()]
    return {"name": "small & quick", "group": "Echo", "base": "b", "less": less, "rows": rows}


def test_the_chart_is_an_image_of_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import chart

    workload = figures({"wsext": 2.5, "a<b": 1.25, "websockets": 1})
    image = ElementTree.fromstring(chart.summary({"workloads": [workload]}))
    words = " ".join(image.itertext())
    for expected in ("small & quick", "(to b)", "wsext 2.50x; a<b 1.25x", "websockets 1.00"):
        assert expected in words


def test_who_is_ahead_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import report

    rates = figures({"wsext": 100, "wsext-python": 1, "picows": 150, "ws": 101, "aiohttp": 50})
    sizes = figures({"wsext-listener": 10, "ws": 5, "picows": 20}, less=True)
    fronts = figures({"uvicorn-wsext": 10, "uvicorn": 20, "fastapi": 30})
    lines = report.behind({"workloads": [rates, sizes, fronts]})[2:]
    assert lines == [
        "| small & quick: wsext | picows 1.50x |",
        "| small & quick: wsext-listener | ws 2.00x |",
        "| small & quick: uvicorn-wsext | uvicorn 2.00x |",
    ]
    assert report.behind({"workloads": []}) == ["Nowhere, in this run."]


def test_python_stands_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from beside import beside

    def workload(name: str, **medians: float) -> dict[str, Any]:
        rows = [{"server": k, "median": v, "ratio": v / 100} for k, v in medians.items()]
        return {"name": name, "less": "memory" in name, "rows": rows}

    echo = workload("64 B, 64 connections", gorilla=250, websockets=100)
    memory = workload("idle memory, 1,000 connections", websockets=12.25)
    assert beside({"workloads": [memory]}) == []
    *_, first, second, _ = beside({"workloads": [echo, memory]})
    assert first == "| gorilla | Go | 2.50 |  |"
    assert second == "| websockets | Python | 1.00 | 12.2 |"
