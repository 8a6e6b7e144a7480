"""So many lines a minute for each place that logs, and who has no limit."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import serving
from tests.raw import raw_peer
from wsext.escape import escape_record
from wsext.server.loglimit import LineLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(
    name: str = "wsext.session", level: int = logging.INFO, line: int = 1
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", line, "something", None, None)


def test_one_place_gets_so_many_lines_and_then_says_what_is_left_out() -> None:
    clock = Clock()
    limit = LineLimit(clock)
    assert sum(limit.filter(record()) for _ in range(1000)) in (30, 31)
    assert limit.filter(record(line=2))  # another place
    clock.now += 60
    written = record()
    assert limit.filter(written)
    assert written.getMessage() in [
        f"something (and {count} more, left out)" for count in (969, 970)
    ]
    after = record()
    assert limit.filter(after)
    assert after.getMessage() == "something"


def test_the_lines_of_a_traceback_count() -> None:
    clock = Clock()
    limit = LineLimit(clock)
    written = 0
    for _ in range(1000):
        try:
            raise ValueError("x\n" * 9)
        except ValueError:
            one = record(level=logging.ERROR)
            one.exc_info = sys.exc_info()
        escape_record(one)
        written += limit.filter(one)
    assert 1 <= written <= 4


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("wsext.access", logging.INFO),
        ("wsext.framelog", logging.INFO),
        ("wsext.session", logging.DEBUG),
        ("myapp", logging.ERROR),
        ("wsextra", logging.ERROR),
    ],
)
def test_what_was_asked_for_has_no_limit(name: str, level: int) -> None:
    limit = LineLimit(Clock())
    assert all(limit.filter(record(name, level)) for _ in range(1000))


async def test_peers_cannot_fill_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        serving("--set", "server.handshake_rate=none", stderr=file) as served,
    ):
        async with raw_peer(served.port) as first:
            await first.shake("/frames/mine")

            async def another() -> int | None:
                async with raw_peer(served.port) as peer:
                    await peer.shake("/frames/mine")
                    return await peer.close_code()

            assert await asyncio.gather(*(another() for _ in range(100))) == [1008] * 100
    lines = log.read_text().splitlines()
    assert 30 <= len(lines) < 60
