"""What was captured is read again: each format gives the same sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wsext_capture import Capture, UnreadableRecording, read_recordings

from wsext import App, Frame, Opcode, Session, testing

app = App()


@app.websocket("/chat")
async def chat(session: Session) -> None:
    await session.send("welcome é")
    await session.receive()
    await session.close(4000, "enough")


async def capture(path: Path, role: str, **options: Any) -> None:
    """A session with text, fragments and a ping, closed by the server."""
    one = Capture(path=str(path), **options)
    server = App()
    server.include(app)
    if role == "server":
        server.install(one)
    headers = {"Cookie": "secret=1", "X-Plain": "yes"}
    extensions = [one] if role == "client" else []
    async with testing.connect(server, "/chat", extensions=extensions, headers=headers) as session:
        await session.receive()
        await session.ping(b"here?")
        await session.send_frame(Frame(Opcode.BINARY, b"\x00\xff", fin=False))
        await session.send_frame(Frame(Opcode.CONTINUATION, b"end"))
        await session.wait_closed()


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("suffix", ["jsonl", "har"])
async def test_a_session_is_read_from_the_clients_side(
    tmp_path: Path, suffix: str, role: str
) -> None:
    path = tmp_path / f"all.{suffix}"
    await capture(path, role)
    await capture(path, role)
    first, second = read_recordings(path)
    assert first.time < second.time
    assert first.url == "ws://memory/chat"
    headers = dict(first.headers)
    assert headers["X-Plain"] == "yes"
    assert "Cookie" not in headers
    frames = [
        (frame.by_client, frame.opcode, frame.fin, frame.payload)
        for frame in first.frames
        if frame.opcode < 8
    ]
    assert frames == [
        (False, 1, True, "welcome é".encode()),
        (True, 2, False, b"\x00\xff"),
        (True, 0, True, b"end"),
    ]
    assert (first.code, first.end is not None) == (4000, True)
    controls = [(frame.by_client, frame.opcode) for frame in first.frames if frame.opcode >= 8]
    assert controls == ([] if suffix == "har" else [(True, 9), (False, 10), (False, 8), (True, 8)])


@pytest.mark.parametrize("suffix", ["jsonl", "har"])
async def test_what_was_recorded_in_part_has_its_whole_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all.{suffix}"
    await capture(path, "server", max_payload=1)
    (recording,) = read_recordings(path)
    sizes = [(len(frame.payload), frame.size) for frame in recording.frames if frame.opcode < 3]
    assert sizes == [(1, 10), (1, 2), (1, 3)]


async def test_what_is_no_whole_recording_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    await capture(path, "server")
    lines = path.read_bytes().splitlines(keepends=True)

    def problem(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(UnreadableRecording) as caught:
            read_recordings(path)
        assert str(caught.value).startswith(str(path))
        return str(caught.value).removeprefix(str(path))

    assert problem(b"") == ": is empty"
    assert problem(b"GET /\n") == ": is not a recording of wsext-capture"
    assert problem(b"".join(lines)[:-5]) == f", line {len(lines)}: it was not written to its end"
    assert problem(lines[1]).endswith(" was not opened before")
    assert "missing required field" in problem(lines[0] + b'{"event":"frame","session":"s1"}\n')
    assert "line 2: non-hexadecimal" in problem(
        lines[0] + lines[2].replace(b'"hex":"', b'"hex":"zz')
    )
    assert ": Input data was truncated" in problem(b'{"log":{"entries":[')
    assert "pcapng can be looked at only" in problem(b"\n\r\r\n")
    har: dict[str, Any] = {"log": {"entries": []}}
    assert (
        problem(json.dumps(har, separators=(",", ":")).encode()) == ": no session is recorded here"
    )
