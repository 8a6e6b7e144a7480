"""Captures that other tools open."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from wsext_capture import Capture

from wsext import App, OptionError, testing


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestCapture(testing.InterceptorSuite):
    extension = Capture


class TestHar(testing.InterceptorSuite):
    extension = Capture
    options = {"path": "out.har"}  # noqa: RUF012


class TestPcapng(testing.InterceptorSuite):
    extension = Capture
    options = {"path": "out.pcapng"}  # noqa: RUF012


async def talk(path: Path, *, client: bool = False, **options: Any) -> None:
    one = Capture(path=str(path), **options)
    stack: Any = ([], [one]) if client else ([one], [])
    headers = {"Cookie": "secret=1", "X-Plain": "yes"}
    app = App()
    for item in (*stack[0], "permessage-deflate"):
        app.install(item)

    @app.websocket("/chat/room")
    async def answer(session: Any) -> None:
        await session.send("welcome é")
        assert await session.receive() == "hello"
        assert await session.receive() == b"\x00\xff" * 50
        await session.receive()

    offers = [*stack[1], "permessage-deflate"]
    async with testing.connect(
        app, "/chat/room?x=1", extensions=offers, headers=headers
    ) as session:
        await session.receive()
        await session.send("hello")
        await session.send(b"\x00\xff" * 50)
        await session.close(3001, "done")


async def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    await talk(path)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[0]["url"] == "ws://memory/chat/room?x=1"
    assert events[0]["extensions"] == "permessage-deflate; client_max_window_bits=12"
    headers = dict(events[0]["headers"])
    assert (headers["X-Plain"], headers["Cookie"]) == ("yes", "[left out]")
    frames = [(e["way"], e.get("text")) for e in events if e["event"] == "frame"]
    assert frames[:3] == [("sent", "welcome é"), ("received", "hello"), ("received", None)]
    assert bytes.fromhex(events[3]["hex"]) == b"\x00\xff" * 50
    assert (events[-1]["code"], events[-1]["reason"]) == (3001, "done")
    await talk(path)  # a second session is added
    assert len(path.read_text().splitlines()) == 2 * len(events)


@pytest.mark.parametrize("client", [False, True])
async def test_har_is_from_the_clients_view(client: bool, tmp_path: Path) -> None:
    path = tmp_path / "out.har"
    await talk(path, client=client, headers=True)
    (entry,) = json.loads(path.read_text())["log"]["entries"]
    assert entry["_resourceType"] == "websocket"
    assert entry["response"]["status"] == 101
    messages = entry["_webSocketMessages"]
    assert [(m["type"], m["opcode"]) for m in messages] == [
        ("receive", 1),
        ("send", 1),
        ("send", 2),
    ]
    assert messages[0]["data"] == "welcome é"
    assert base64.b64decode(messages[2]["data"]) == b"\x00\xff" * 50
    assert {"name": "Cookie", "value": "secret=1"} in entry["request"]["headers"]


def _tshark() -> str:
    path = shutil.which("tshark")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("tshark is not installed, and CI must read a capture with it")
        pytest.skip("tshark is not installed")
    return path


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_pcapng_is_dissected_as_websocket(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    asyncio.run(talk(path))
    asyncio.run(talk(path, client=True, max_payload=10))
    fields = ("tcp.stream", "tcp.srcport", "websocket.opcode", "websocket.payload_length")
    command = [_tshark(), "-n", "-r", str(path), "-Y", "websocket", "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    rows = [line.split("\t") for line in _run(*command).splitlines()]
    first = [(row[1] == "80", *row[2:]) for row in rows if row[0] == "0"]
    assert first[:3] == [(True, "1", "10"), (False, "1", "5"), (False, "2", "100")]
    assert {row[0] for row in rows} == {"0", "1"}
    odd = "_ws.malformed or tcp.analysis.flags"
    assert _run(_tshark(), "-n", "-r", str(path), "-Y", odd) == ""


async def test_a_file_that_cannot_be_written_costs_no_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await talk(tmp_path / "missing" / "out.jsonl")
    failures = [r for r in caplog.records if "no more is captured" in r.getMessage()]
    assert len(failures) == 1


def test_the_suffix_says_the_format() -> None:
    with pytest.raises(OptionError, match=r"capture: out.txt: name it .jsonl"):
        Capture(path="out.txt")
    assert Capture(path="out.txt", format="har")
