"""The tables: while it runs, and in SECURITY.md."""

from __future__ import annotations

import datetime
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
    """The table of SECURITY.md, with the date and the machine."""
    rows = [
        f"Measured on {datetime.date.today()}: {', '.join(machine())}.",
        "",
        "| attack | on | the attacker sends | the server's memory | 5 s later | its processor"
        " | lines of log | honest sessions wait (median, p99, most) | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        cost, waits = result.cost, result.waits
        rows.append(
            f"| {result.attack.name} | {result.front}"
            f" | {size(result.spent.bytes)}, {result.spent.connections} connections"
            f" | {cost.memory / MIB:+.1f} MiB | {result.memory_left / MIB:+.1f} MiB"
            f" | {100 * cost.processor / cost.seconds:.0f} % | {cost.log_lines}"
            f" | {waits.p50 * 1000:.1f}, {waits.p99 * 1000:.0f}, {waits.longest * 1000:.0f} ms"
            f" | {'holds' if result.holds else '; '.join(result.problems)} |"
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
