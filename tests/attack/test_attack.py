"""One attack on each promise for a moment, with the bounds of SECURITY.md, but for how long honest
sessions wait and how soon memory is back: other tests run at the same time. ``SHOW=full`` tries
every attack so; ``python -m tests.attack`` is the whole of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attack.fronts import FRONTS, key_of
from tests.attack.honest import Waits
from tests.attack.meter import MIB, Cost, Meter
from tests.attack.peers import Spent
from tests.attack.registry import AREAS, Attack, load
from tests.attack.running import Bounds, Result, bystanders, judge, run

BOUNDS = Bounds(left=48 * MIB, p99=3.0, newcomer=5.0, refused=3)
SECONDS, AT_MOST = 0.1, 20
FULL = os.environ.get("SHOW") == "full"


def _groups() -> dict[str, list[tuple[Attack, str]]]:
    """Each attack on one of its fronts; at most so many that can share a server, together."""
    found: dict[object, list[tuple[Attack, str]]] = defaultdict(list)
    promises = set()
    for attack in load().values():
        if attack.short and (FULL or attack.promise not in promises):
            promises.add(attack.promise)
            fronts = [front for front in attack.fronts if FULL or not FRONTS[front].trio]
            front = fronts[zlib.crc32(attack.name.encode()) % len(fronts)]
            found[key_of(attack, front)].append((attack, front))
    parts = [
        group[at : at + AT_MOST] for group in found.values() for at in range(0, len(group), AT_MOST)
    ]
    return {f"{group[0][0].name}, {len(group)} in all": group for group in parts}


GROUPS = _groups()


@pytest.mark.parametrize("name", GROUPS)
def test_attacks_cost_no_more_than_is_promised(name: str) -> None:
    wrong = []
    with bystanders(*GROUPS[name][0]) as around:
        for attack, front in GROUPS[name]:
            work = run(attack, front, around, seconds=SECONDS, rest=0, bounds=BOUNDS)
            wrong += [f"{attack.name}, {front}: {text}" for text in asyncio.run(work).problems]
    assert not wrong, "\n".join(wrong)


def _rows() -> set[str]:
    """The attacks in SECURITY.md that a limit answers."""
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    table = text.partition("## Which limit answers which attack")[2].partition("\n## ")[0]
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line[:2] == "| "}
    return rows - {"attack", "attack of a server"}  # the tables' heads


def test_every_attack_is_on_a_promise_and_every_promise_is_attacked() -> None:
    attacked = {attack.promise for attack in load().values()}
    assert attacked == _rows()


def test_all_fronts_and_areas_are_known() -> None:
    assert {front for attack in load().values() for front in attack.fronts} == set(FRONTS)
    files = {path.stem for path in Path(__file__).parent.glob("*.py")}
    assert set(AREAS) <= files


def test_what_does_not_hold_is_found() -> None:
    """The judge itself: each promise, broken."""
    attack = next(iter(load().values()))
    good = Result(attack, "http1", Spent(), Cost(0, 0.0, 0, 0, 0, 3.0), Waits(echoes=1))
    assert judge(good, Bounds()) == []
    cost = Cost(100 * MIB, 0.0, 0, 0, 101, 3.0)
    waits = Waits(p99=0.051, errors=1, served=1, refused=1, newcomer=3.0)
    bad = Result(attack, "http1", Spent(), cost, waits, 33 * MIB, 9, 1)
    bad.attack = replace(attack, newcomers=True)
    found = judge(bad, Bounds())
    assert found == [
        "100 MiB of memory",
        "101 lines of log",
        "honest sessions' p99 is 51 ms",
        "1 errors of honest sessions",
        "honest sessions got no echo",
        "1 newcomers refused",
        "a newcomer waited 3.0 s",
        "33 MiB left",
        "9 descriptors left",
        "1 sessions left",
    ]


def test_the_list_may_be_cut_off() -> None:
    command = [sys.executable, "-m", "tests.attack", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_meter_sees_what_a_process_takes_and_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys; input(); held = bytearray(50 << 20); print('said', file=sys.stderr); input()"
    )
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=file
        ) as process,
    ):
        meter = Meter(process.pid, log)
        meter.begin()
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        until = time.monotonic() + 20
        while not meter.said() and time.monotonic() < until:
            time.sleep(0.01)  # nothing tells when another process has written
        cost = meter.end()
        process.kill()
    assert 50 * MIB <= cost.memory < 80 * MIB
    assert cost.log_lines == 1
