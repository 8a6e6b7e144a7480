"""``wsext inspect``: every frame at every stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Served, serving, wsext


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_a_line_per_frame_and_stage(server: Served) -> None:
    done = wsext("inspect", "--count", "1", f"{server.ws}/echo", stdin="hello " * 20 + "\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("offered permessage-deflate" in line and "agreed" in line for line in lines)
    assert "  outgoing frames: app → permessage-deflate → wire" in lines
    rows = [line.split() for line in lines if "text" in line]
    assert [row[2] for row in rows[:3]] == ["app", "permessage-deflate", "wire"]
    assert "RSV1" in rows[2]
    assert any(line.startswith("received: 1 message, 120 bytes, ") for line in lines)


def test_json_lines(server: Served) -> None:
    done = wsext("inspect", "--json", "--count", "1", f"{server.ws}/echo", stdin="hello hello\n")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["extensions"] == ["permessage-deflate; client_max_window_bits=12"]
    stages = [(e["direction"], e["stage"]) for e in events if e.get("opcode") == "text"]
    assert stages == [
        ("out", "app"),
        ("out", "permessage-deflate"),
        ("out", "wire"),
        ("in", "wire"),
        ("in", "permessage-deflate"),
        ("in", "app"),
    ]
    assert events[-1]["event"] == "close"
    assert events[-1]["app_bytes_in"] == 11


def test_what_a_server_says_is_neither_control_nor_markup(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(
        "from wsext import App\n"
        "app = App()\n"
        "@app.websocket('/')\n"
        "async def handler(session):\n"
        "    await session.send('\\x1b[2J[red]a')\n"
        "    await session.close(3000, '\\x1b[2J[red]b')\n"
    )
    with serving("hostile:app", cwd=tmp_path) as served:
        done = wsext("inspect", served.ws, stdin="")
    assert "\x1b" not in done.stdout
    assert r"\x1b[2J[red]b" in done.stdout
