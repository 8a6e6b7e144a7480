"""``wsext replay``: from a file to an exit code.

SHOW=full python -m pytest tests/cli/test_replay.py -n0 -s --timeout 200
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.recordings import an_hour, as_jsonl, recording
from tests.e2e.processes import ENV, Served, serving, wsext

#: What is recorded in every test: an echo, and a session that the server closes.
TALK = recording(
    (0.0, "c", 1, True, "é".encode()),
    (0.1, "s", 1, True, "é".encode()),
    (0.2, "c", 2, False, b"two "),
    (0.3, "c", 9, True, b"ping"),
    (0.3, "s", 10, True, b"ping"),
    (0.4, "c", 0, True, b"pieces"),
    (0.5, "s", 2, True, b"two pieces"),
    (0.6, "c", 8, True, b""),
    (0.6, "s", 8, True, b""),
    end=0.6,
)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server captures its sessions."""
    return tmp_path_factory.mktemp("capture") / "all.jsonl"


@pytest.fixture(scope="module")
def server(capture: Path) -> Iterator[Served]:
    env = {**ENV, "WSEXT_PLUGINS": "permessage-deflate,capture"}
    with serving("--ext", f"capture:path={capture}", env=env) as served:
        yield served


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.jsonl"
    path.write_bytes(as_jsonl(TALK))
    return path


def test_the_same_answers(server: Served, file: Path) -> None:
    done = wsext("replay", "--speed", "max", str(file), server.ws)
    assert (done.stdout, done.stderr, done.returncode) == (
        "1 session, 0 not opened; frames: 5 sent, 0 left to the connection, 0 not sent;"
        " answers: 4 same, 0 different, 0 missing, 0 extra\n",
        "",
        0,
    )


def test_a_difference_is_shown_and_is_an_exit_code(server: Served, file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"two pieces".hex().encode(), b"00ff"))
    done = wsext("replay", "--speed", "20", str(file), server.ws)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "session s1 ws://recorded.example/echo, answer 2: different",
        "  - binary, 10 bytes: 00 ff …",
        "  + binary, 10 bytes: 74 77 6f 20 70 69 65 63 65 73",
        "1 session, 0 not opened; frames: 5 sent, 0 left to the connection, 0 not sent;"
        " answers: 3 same, 1 different, 0 missing, 0 extra",
    ]


def test_a_session_that_cannot_be_opened(file: Path) -> None:
    text = file.read_bytes().replace(b"recorded.example", b"ada:s3cret@127.0.0.1:1")
    file.write_bytes(text)
    done = wsext("replay", str(file))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "session s1 ws://127.0.0.1:1/echo: not opened: ws://127.0.0.1:1/echo: Connection refused",
        "1 session, 1 not opened; frames: 0 sent, 0 left to the connection, 5 not sent;"
        " answers: 0 same, 0 different, 0 missing, 0 extra",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "0"), "'0' is neither a number above 0 nor 'max'"),
        (("--speed", "fast"), "'fast' is neither a number above 0 nor 'max'"),
        (("--ext", "permessage-deflat"), "did you mean 'permessage-deflate'?"),
    ],
)
def test_a_wrong_command_line(file: Path, arguments: tuple[str, ...], said: str) -> None:
    done = wsext("replay", *arguments, str(file))
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "{}: is empty"),
        (b"hello\n", "{}: is not a recording of wsext-capture"),
        (as_jsonl(TALK)[:-9], "{}, line 11: it was not written to its end"),
        (
            as_jsonl(TALK).replace(b'"size":4', b'"size":70000', 1),
            "{}, line 4: only 4 of 70000 bytes of a frame were recorded: see max_payload",
        ),
    ],
)
def test_a_wrong_file_is_one_line(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    done = wsext("replay", str(file))
    assert (done.returncode, done.stderr) == (2, f"wsext: {said.format(file)}\n")


def test_what_was_captured_is_replayed(server: Served, capture: Path, tmp_path: Path) -> None:
    """To the recorded address, by paths, also while more is captured."""
    wsext("connect", "-q", f"{server.ws}/greet", stdin="Ada\nbye\n")
    path = str(shutil.copy(capture, tmp_path / "sessions.jsonl"))
    done = wsext("replay", "--speed", "max", path)
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(
        r"\d+ sessions?, 0 not opened; frames: \d+ sent, \d+ left to the connection, 0 not sent;"
        r" answers: \d+ same, 0 different, 0 missing, 0 extra\n",
        done.stdout,
    )


@pytest.mark.skipif(os.environ.get("SHOW") != "full", reason="takes a minute; SHOW=full")
@pytest.mark.timeout(200)
def test_an_hour_in_a_minute(server: Served, tmp_path: Path) -> None:
    path, hour = tmp_path / "hour.jsonl", an_hour(every=0.5)
    path.write_bytes(as_jsonl(hour))
    begun = time.monotonic()
    done = wsext("replay", "--speed", "60", str(path), server.ws)
    took = time.monotonic() - begun
    print(f"\n{done.stdout}{len(hour.frames)} frames were recorded; it took {took:.1f} s")  # noqa: T201
    assert done.returncode == 0, done.stdout
    assert 60 <= took < 75  # with the start of the command, on a busy machine
