"""Measures wsext beside its peers, in one interleaved run.

Servers have one processor to themselves, the load another one. Every round gives each server its
turn, so that a machine that gets slower gets slower for all. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import fleet
import report
from fleet import BESIDE, Fleet, Server, Unavailable, run_client, run_load, warmup_of
from memory import per_connection
from tape import Wrong, check, first_frame, offer, tape
from workloads import WORKLOADS, Row, Workload

WARMUP = 0.2  # seconds, at most as long as what is measured
NAMES = [workload.name for workload in WORKLOADS]


@dataclass
class Figures:
    """What one server did on one workload, a value per round.

    Attributes:
        values: Messages (deliveries, sessions) per second, KiB per connection, or microseconds at
            the 99th percentile.
        cpu: Microseconds of the server's CPU time per message.
        busy: Share of the time that the server's processes ran.
        idle: Share of the load's polls that found nothing to do.
        tails: Latencies: the median, the 99th and 99.9th percentile, the largest, and by how much
            the load was late with 99 % of its messages.
        rate: Latencies: how many messages a second were asked for.
        size: Bytes of a reply's payload as it travelled.
        agreed: The extensions in use.
    """

    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    tails: list[list[float]] = field(default_factory=list)
    rate: float = 0.0
    size: float = 0.0
    agreed: str = ""


class Progress:
    """Where the run is, and how long it will still take, on stderr."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done, self._began = steps, 0, time.monotonic()
        self._last = ""

    def step(self, workload: str, server: str) -> None:
        """Before each turn; without a terminal only at the first one of a workload."""
        left = "?"
        if self._done:
            seconds = int(
                (time.monotonic() - self._began) / self._done * (self._steps - self._done)
            )
            left = f"{seconds // 60}:{seconds % 60:02}"
        self._done += 1
        line = f"[{self._done}/{self._steps}, {left} left] {workload}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}: {server}"[:110], end="", file=sys.stderr, flush=True)
        elif workload != self._last:
            print(line, file=sys.stderr, flush=True)
        self._last = workload


class Bench:
    """One run: the results so far, and how to get more."""

    def __init__(self, servers: Fleet, rounds: int, seconds: float) -> None:
        self._fleet = servers
        self._rounds = rounds
        self._seconds = seconds
        self.results: dict[str, dict[str, Figures]] = {}
        self.left_out: list[str] = []

    def measure(self, workload: Workload, rows: list[Row], progress: Progress) -> None:
        """All rounds of one workload; a server that fails is left out of it."""
        figures = self.results.setdefault(workload.name, {})
        self._fleet.start(dict.fromkeys(name for row in rows for name in _names(workload, row)))
        tapes: dict[str, bytes] = {}
        for turn in range(workload.rounds(self._rounds)):
            first = turn % len(rows)  # nobody always comes after the same one
            for row in rows[first:] + rows[:first]:
                progress.step(workload.name, row.label)
                servers = [self._fleet.get(name) for name in _names(workload, row)]
                running = [server for server in servers if server is not None]
                if running != servers or (row.label in figures and row.label not in tapes):
                    continue
                warmup = min(WARMUP, self._seconds)
                try:
                    if row.label not in tapes:
                        figures[row.label] = Figures()
                        tapes[row.label] = self._prepare(workload, row, running)
                        warmup = max(warmup, warmup_of(row.server))
                    self._once(workload, row, running, tapes[row.label], warmup)
                except Exception as error:  # whatever a peer does wrong, the others go on
                    tapes.pop(row.label, None)
                    self._leave_out(workload, row, error)

    def _prepare(self, workload: Workload, row: Row, servers: list[Server]) -> bytes:
        """Check that the server does its work; gives what is sent to it."""
        figures = self.results[workload.name][row.label]
        if workload.kind == "pace":
            figures.rate = self._peak(workload, row) * workload.share
        folder, ports = self._fleet.tools, [server.port for server in servers]
        figures.agreed = check(ports, workload, row.offers, folder)
        return tape(workload, row.offers, figures.agreed, folder)

    def _peak(self, workload: Workload, row: Row) -> float:
        """How much this server, or another one, did at most."""
        measured = self.results[workload.peak].get(workload.of or row.label)
        if measured is None or not measured.values:
            raise Unavailable(f"nothing is known of {workload.peak!r}")
        return statistics.median(measured.values)

    def _once(
        self, workload: Workload, row: Row, servers: list[Server], data: bytes, warmup: float
    ) -> None:
        """One turn of one server."""
        into = self.results[workload.name][row.label]
        offered = offer(workload, row.offers, self._fleet.tools)
        if workload.kind == "memory":
            into.values.append(self._memory(workload, row, offered, data))
            return
        found = self._load(workload, row, servers, offered, data, into.rate, warmup)
        messages, took, idle, cpu, *rest = found
        if workload.kind == "pace":
            into.tails.append(rest)
            into.values.append(rest[1])
        else:
            into.values.append(messages / took)
        if workload.kind in ("echo", "room"):
            size, compressed = rest
            if workload.is_compressed and compressed < messages * 0.99:
                raise Unavailable("its replies are not compressed")
            into.size = size / messages
        into.idle.append(idle)
        into.cpu.append(cpu / messages * 1e6)
        into.busy.append(cpu / took)

    def _load(
        self,
        workload: Workload,
        row: Row,
        servers: list[Server],
        offered: str,
        data: bytes,
        rate: float,
        warmup: float,
    ) -> list[float]:
        """What the load prints; see there."""
        tools, port = self._fleet.tools, servers[0].port
        if workload.kind == "client":
            load = (workload.connections, self._seconds, warmup)
            return run_client(row.server, tools, port, load)
        where = f"{workload.transport}:{port}" if workload.transport else str(port)
        if workload.bridged:
            where += f",{servers[1].port}"
        pids = ",".join(str(pid) for server in self._counted(servers) for pid in server.pids())
        times = (self._seconds, warmup, pids)
        kind = {"connect": "connect", "pace": "pace"}.get(workload.kind, "load")
        tool = self._fleet.tool(kind, workload.transport)
        if workload.kind == "connect":
            arguments = (where, workload.target, workload.connections, *times, offered)
            return run_load(tool, arguments, first_frame(data))
        sizes = {len(message) for message in workload.messages}
        size = 0 if workload.is_compressed or len(sizes) > 1 else max(sizes)
        much = rate if workload.kind == "pace" else workload.in_flight
        arguments = (where, workload.target, workload.connections, much, *times, size, offered)
        return run_load(tool, arguments, data)

    def _counted(self, servers: list[Server]) -> list[Server]:
        """The servers whose processor time counts: these, and the broker between them."""
        broker = self._fleet.broker_of(servers[0].name)
        return [*servers, broker] if broker else servers

    def _memory(self, workload: Workload, row: Row, offered: str, data: bytes) -> float:
        """KiB per connection of one more server of this kind."""
        server = self._fleet.fresh(row.server)
        try:
            frame = first_frame(data) if workload.talk else b""
            return per_connection(server, offered, workload.connections, frame, workload.transport)
        finally:
            server.stop()

    def _leave_out(self, workload: Workload, row: Row, error: Exception) -> None:
        reason = str(error) or "failed"
        if not isinstance(error, Wrong | Unavailable):
            reason = f"{type(error).__name__}: {reason}"
        self.left_out.append(f"{row.label} ({workload.name}): {reason}")
        lead = "\n" if sys.stderr.isatty() else ""
        print(f"{lead}left out: {self.left_out[-1]}", file=sys.stderr)


def _names(workload: Workload, row: Row) -> tuple[str, ...]:
    """The servers that a row needs."""
    if workload.kind == "client":
        return (BESIDE,)
    return (row.server, f"{row.server}-too") if workload.bridged else (row.server,)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="3 rounds of half a second")
    add("--rounds", type=int, help="turns of each server (default 5)")
    add("--seconds", type=float, help="length of a turn (default 1.0)")
    add(
        "--only",
        action="append",
        help="only workloads of this name, or with this text in it; repeatable",
    )
    add("--servers", default="*", help="only these servers (comma list of names or globs)")
    add("--before", help="also measure the wsext that this Python has installed, as NAME-before")
    add("--write", action="store_true", help="write docs/benchmarks.md and its chart")
    add("--json", type=Path, help="write every figure into this file")
    add("--from", type=Path, dest="figures", help="measure nothing: report what --json wrote")
    add("--list", action="store_true", help="list workloads and servers")
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.quick else 5)
    args.seconds = args.seconds or (0.5 if args.quick else 1.0)
    args.servers, args.only = args.servers.split(","), args.only or [""]
    if args.rounds < 1 or args.seconds < 0.1:
        parser.error("at least one round of 0.1 seconds")
    if args.before:
        fleet.add_before(args.before)
    for name in args.servers:
        if not any(is_chosen(server, [name]) for server in fleet.names()):
            parser.error(f"--servers: no server {name!r}{nearest(name, fleet.names())}")
    for name in args.only:
        if not any(is_meant(workload, name) for workload in NAMES):
            parser.error(f"--only: no workload {name!r}{nearest(name, NAMES)}")
    return args


def nearest(name: str, known: list[str]) -> str:
    """A hint at what was probably meant."""
    close = get_close_matches(name, known, 1, 0.3)
    return f"; did you mean {close[0]!r}?" if close else "; --list names them"


def chosen(args: argparse.Namespace) -> list[tuple[Workload, list[Row]]]:
    """What the arguments leave to be measured."""
    plan = []
    for workload in WORKLOADS:
        if any(is_meant(workload.name, text) for text in args.only):
            rows = [row for row in with_before(workload) if is_chosen(row.server, args.servers)]
            if rows:
                plan += _with_peak(workload, rows, [known.name for known, _ in plan])
    return plan


def _with_peak(
    workload: Workload, rows: list[Row], planned: list[str]
) -> Iterator[tuple[Workload, list[Row]]]:
    """A workload, and before it the one that its rates are taken from, if that is not planned."""
    if workload.peak and workload.peak not in planned:
        (peak,) = (other for other in WORKLOADS if other.name == workload.peak)
        wanted = {row.label for row in rows} | {workload.of}
        yield peak, [row for row in with_before(peak) if row.label in wanted]
    yield workload, rows


def with_before(workload: Workload) -> Iterator[Row]:
    """The rows of a workload, each with the one of the version before, if it is measured."""
    for row in workload.rows:
        yield row
        before = f"{row.server}-before"
        if before in fleet.PYTHONS:
            yield replace(row, label=f"{row.label}, before", server=before)


def is_chosen(server: str, globs: list[str]) -> bool:
    """Whether one of ``--servers`` is this one."""
    return any(fnmatch(server, glob) for glob in globs)


def is_meant(name: str, text: str) -> bool:
    """Whether ``--only text`` means this workload: by its name, or else by a part of it."""
    return name == text if text in NAMES else text in name


def main() -> int:
    args = arguments()
    if args.list:
        print("workloads:", *NAMES, "servers:", *fleet.names(), sep="\n  ")
        return 0
    if args.figures:
        results, code = json.loads(args.figures.read_text(encoding="utf-8")), 0
    else:
        plan = chosen(args)
        if not plan:
            print("none of these servers takes part in these workloads", file=sys.stderr)
            return 2
        try:
            results, code = run(plan, args.rounds, args.seconds)
        except Unavailable as error:
            print(error, file=sys.stderr)
            return 1
    print(report.tables(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if args.write and not code:
        report.write(results)
    return code


def run(
    plan: list[tuple[Workload, list[Row]]], rounds: int, seconds: float
) -> tuple[dict[str, Any], int]:
    """Measure; gives the results and the code to exit with.

    Raises:
        Unavailable: If nothing can be measured here.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    fleet.pin(fleet.LOAD_CPU)
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        servers = Fleet(Path(folder))
        bench = Bench(servers, rounds, seconds)
        progress = Progress(sum(len(rows) * workload.rounds(rounds) for workload, rows in plan))
        try:
            for workload, rows in plan:
                bench.measure(workload, rows, progress)
        except KeyboardInterrupt:
            print("\nstopped; this is what there is", file=sys.stderr)
            code = 130
        finally:
            servers.stop()
    print(file=sys.stderr)
    left_out = [f"{name}: {reason}" for name, reason in servers.left_out.items()]
    results = report.collect(plan, bench.results, left_out + bench.left_out)
    return results | {"rounds": rounds, "seconds": seconds}, code


if __name__ == "__main__":
    sys.exit(main())
