"""Captures that other tools open."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wsext_capture import Capture

from tests import tools
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


# --- a HAR file is valid at any time ---------------------------------------------------------


def entries(path: Path) -> list[Any]:
    found: list[Any] = json.loads(path.read_text())["log"]["entries"]
    return found


async def test_har_is_added_to_and_nothing_else_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.har"
    sizes = []
    for number in range(1, 4):
        before = path.read_bytes() if path.exists() else b""
        await talk(path)
        assert len(entries(path)) == number
        assert path.read_bytes().startswith(before[: before.rfind(b"\n]")])
        sizes.append(path.stat().st_size)
    assert sizes[2] - sizes[1] < sizes[0] * 1.2
    assert os.listdir(tmp_path) == ["out.har"]


@pytest.mark.parametrize("name", ["out.har", "out.jsonl", "out.pcapng"])
async def test_a_new_file_is_its_owners_only(name: str, tmp_path: Path) -> None:
    await talk(tmp_path / name)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_write_that_was_cut_off_is_taken_out_again(tmp_path: Path) -> None:
    path = tmp_path / "out.har"
    await talk(path)
    one = path.read_bytes()
    await talk(path)
    two = path.read_bytes()
    start = len(one) - 5  # where what ended the document is written over
    for cut in [*range(start, start + 9), *range(start + 9, len(two), 97), *range(-7, 0)]:
        path.write_bytes(two[:cut] + one[cut:] * (cut >= 0))
        await talk(path)
        assert len(entries(path)) in (2, 3), cut
        assert entries(path)[0] == json.loads(one)["log"]["entries"][0]
    path.write_bytes(one[:120])
    await talk(path)
    assert len(entries(path)) == 1


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b'{"log":{"version":"1.2","entries":[]}}', b"x" * 500]
)
async def test_a_file_of_somebody_else_is_left_alone(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.har"
    path.write_bytes(content)
    await talk(path)
    assert path.read_bytes() == content
    assert [r.getMessage() for r in caplog.records if "is left alone" in r.getMessage()]


async def test_what_waits_in_memory_is_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "out.har"
    app = App()
    app.install(Capture(path=str(path)))

    @app.websocket("/")
    async def listen(session: Any) -> None:
        async for _ in session:
            pass

    async with testing.connect(app) as session:
        for number in range(300):
            await session.send(f"{number:05}" * 200)
        await session.send("last")
        await session.ping()
        while_open = len(path.read_bytes())
    assert while_open > 200_000
    found = entries(path)
    assert len(found) > 3
    assert len({entry["connection"] for entry in found}) == 1
    assert [entry["comment"] for entry in found[:-1]] == ["goes on"] * (len(found) - 1)
    messages = [item["data"][:5] for entry in found for item in entry["_webSocketMessages"]]
    assert messages == [f"{number:05}" for number in range(300)] + ["last"]


async def test_nothing_is_written_after_max_bytes(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    one = Capture(path=str(path), max_bytes=20_000)
    for _ in range(3):  # sessions, empty messages and messages count
        app = App()
        app.install(one)

        @app.websocket("/")
        async def listen(session: Any) -> None:
            async for _ in session:
                pass

        async with testing.connect(app) as session:
            for _ in range(100):
                await session.send("")
    assert path.stat().st_size < 25_000


def test_har_is_valid_when_its_processes_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "out.har"
    code = (
        "import asyncio, sys\n"
        "from wsext import App, testing\n"
        "app = App()\n"
        "app.install('capture', path=sys.argv[1])\n"
        "@app.websocket('/')\n"
        "async def listen(session):\n"
        "    async for _ in session: pass\n"
        "async def main():\n"
        "    while True:\n"
        "        async with testing.connect(app) as session:\n"
        "            await session.send('x' * 1000)\n"
        "        print(flush=True)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout
        for _ in range(20):
            assert process.stdout.readline()
    for process in processes:
        process.kill()
        process.communicate()
    assert len(entries(path)) >= 40


def test_har_is_valid_when_the_disk_is_full(tmp_path: Path) -> None:
    code = (
        "import asyncio, resource, signal, sys\n"
        "from extensions_test import talk, Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "for _ in range(5): asyncio.run(talk(Path(sys.argv[1])))\n"
    ).replace("extensions_test", "test_capture")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    path = tmp_path / "out.har"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no more is captured") >= 1
    assert 1 <= len(entries(path)) <= 2


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_pcapng_is_dissected_as_websocket(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    asyncio.run(talk(path))
    asyncio.run(talk(path, client=True, max_payload=10))
    fields = ("tcp.stream", "tcp.srcport", "websocket.opcode", "websocket.payload_length")
    command = [tools.find("tshark"), "-n", "-r", str(path), "-Y", "websocket", "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    rows = [line.split("\t") for line in _run(*command).splitlines()]
    first = [(row[1] == "80", *row[2:]) for row in rows if row[0] == "0"]
    assert first[:3] == [(True, "1", "10"), (False, "1", "5"), (False, "2", "100")]
    assert {row[0] for row in rows} == {"0", "1"}
    odd = "_ws.malformed or tcp.analysis.flags"
    assert _run(tools.find("tshark"), "-n", "-r", str(path), "-Y", odd) == ""


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
