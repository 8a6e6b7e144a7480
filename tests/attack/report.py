"""The tables: while it runs, and in SECURITY.md."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.attack.meter import MIB, machine
from tests.attack.running import Result

__all__ = ["HEAD", "line", "markdown", "write"]

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
BEGIN, END = "<!-- begin: made by python -m tests.attack --write -->", "<!-- end -->"

HEAD = (
    f"{'front':8} {'attack':58} {'sent':>9} {'conns':>6} {'memory':>7} {'left':>6} {'cpu':>6}"
    f" {'fds':>5} {'log':>6} {'p50':>6} {'p99':>7} {'max':>7}  verdict"
)


def size(count: int) -> str:
    """Bytes, for people."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.{0 if count >= 10 * unit else 1}f} {name}"
    return f"{count} B"


def line(result: Result) -> str:
    """A row for the terminal."""
    cost, waits = result.cost, result.waits
    return (
        f"{result.front:8} {result.attack.name:58.58} {size(result.spent.bytes):>9}"
        f" {result.spent.connections:6} {cost.memory / MIB:+7.1f} {result.memory_left / MIB:+6.1f}"
        f" {cost.processor:5.1f}s {cost.descriptors:+5} {cost.log_lines:6}"
        f" {waits.p50 * 1000:6.1f} {waits.p99 * 1000:7.1f} {waits.longest * 1000:7.1f}"
        f"  {'holds' if result.holds else '; '.join(result.problems)}"
    )


def markdown(results: Iterable[Result]) -> str:
    """The table of SECURITY.md: for each attack the worst figures of all fronts."""
    results = list(results)
    times = sorted(result.cost.seconds for result in results)
    rows = [
        f"Measured on {datetime.date.today()}: {', '.join(machine())}."
        f" Attacks took {times[0]:.1f} to {times[-1]:.1f} seconds, half of them more than"
        f" {times[len(times) // 2]:.1f}.",
        "",
        "| attack | on | the attacker sends | memory, and 5 s later | processor | descriptors | log"
        " | honest sessions wait (median, p99, most) | holds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_name: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_name[result.attack.name].append(result)
    for name, group in by_name.items():
        costs, waits = [one.cost for one in group], [one.waits for one in group]
        wrong = [f"{one.front}: {text}" for one in group for text in one.problems]
        rows.append(
            f"| {name} | {', '.join(one.front for one in group)}"
            f" | {size(max(one.spent.bytes for one in group))},"
            f" {max(one.spent.connections for one in group)} connections"
            f" | {max(one.memory for one in costs) / MIB:+.1f},"
            f" {max(one.memory_left for one in group) / MIB:+.1f} MiB"
            f" | {max(100 * one.processor / one.seconds for one in costs):.0f} %"
            f" | {max(one.descriptors for one in costs):+}"
            f" | {max(one.log_lines for one in costs)} lines,"
            f" {size(max(one.log_bytes for one in costs))}"
            f" | {max(one.p50 for one in waits) * 1000:.1f},"
            f" {max(one.p99 for one in waits) * 1000:.0f},"
            f" {max(one.longest for one in waits) * 1000:.0f} ms"
            f" | {'; '.join(wrong) or 'yes'} |"
        )
    return "\n".join(rows)


def write(results: Iterable[Result]) -> None:
    """Put the table into SECURITY.md, between its markers."""
    text = SECURITY.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"SECURITY.md has no {BEGIN}"
    assert end, f"SECURITY.md has no {END} after it"
    SECURITY.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}")
