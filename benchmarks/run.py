"""Measures wsext beside its peers, in one interleaved run.

Servers have one processor to themselves, the load another one. Every round gives each server its
turn, so that a machine that gets slower gets slower for all. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

import fleet
import report
from fleet import Fleet, Server, Unavailable, run_load
from memory import per_connection
from tape import Wrong, check, first_frame, offer, tape
from workloads import WORKLOADS, Row, Workload

WARMUP = 0.3  # seconds
NAMES = [workload.name for workload in WORKLOADS]


@dataclass
class Figures:
    """What one server did on one workload, a value per round.

    Attributes:
        values: Messages (deliveries, sessions) per second, or KiB per connection.
        cpu: Microseconds of the server's CPU time per message.
        busy: Share of the time that the server's processes ran.
        idle: Share of the load's polls that found nothing to do.
        size: Bytes of a reply's payload as it travelled.
        agreed: The extensions in use.
    """

    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
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
        self._rounds, self._seconds = rounds, seconds
        self.results: dict[str, dict[str, Figures]] = {}
        self.left_out: list[str] = []

    def measure(self, workload: Workload, rows: list[Row], progress: Progress) -> None:
        """All rounds of one workload; a server that fails is left out of it."""
        figures = self.results.setdefault(workload.name, {})
        self._fleet.start(dict.fromkeys(row.server for row in rows))
        tapes: dict[str, bytes] = {}
        for turn in range(self._rounds):
            first = turn % len(rows)  # nobody always comes after the same one
            for row in rows[first:] + rows[:first]:
                progress.step(workload.name, row.label)
                server = self._fleet.get(row.server)
                if server is None or (row.label in figures and row.label not in tapes):
                    continue
                try:
                    if row.label not in tapes:
                        figures[row.label] = Figures()
                        figures[row.label].agreed = check(server.port, workload, row.no_ops)
                        tapes[row.label] = tape(workload, row.no_ops, figures[row.label].agreed)
                    self._once(workload, row, server, tapes[row.label], figures[row.label])
                except Exception as error:  # whatever a peer does wrong, the others go on
                    tapes.pop(row.label, None)
                    self._leave_out(workload, row, error)

    def _once(
        self, workload: Workload, row: Row, server: Server, data: bytes, into: Figures
    ) -> None:
        """One turn of one server."""
        offered = offer(workload, row.no_ops)
        if workload.kind == "memory":
            into.values.append(self._memory(workload, row, offered, data))
            return
        messages, took, idle, cpu, *replies = self._load(workload, server, offered, data)
        if replies:
            size, compressed = replies
            if workload.deflate and compressed < messages * 0.99:
                raise Unavailable("its replies are not compressed")
            into.size = size / messages
        into.values.append(messages / took)
        into.idle.append(idle)
        into.cpu.append(cpu / messages * 1e6)
        into.busy.append(cpu / took)

    def _load(self, workload: Workload, server: Server, offered: str, data: bytes) -> list[float]:
        """What one of the C clients prints; see there."""
        path = "/room" if workload.kind == "room" else "/"
        where = (server.port, path, workload.connections)
        times = (self._seconds, WARMUP, ",".join(map(str, server.pids())))
        tools = self._fleet.tools
        if workload.kind == "connect":
            return run_load(tools / "connect", (*where, *times, offered), first_frame(data))
        size = 0 if workload.deflate else len(workload.messages[0])
        arguments = (*where, workload.in_flight, *times, size, offered)
        return run_load(tools / "load", arguments, data)

    def _memory(self, workload: Workload, row: Row, offered: str, data: bytes) -> float:
        """KiB per connection of one more server of this kind."""
        server = self._fleet.fresh(row.server)
        try:
            frame = first_frame(data) if workload.talk else b""
            return per_connection(server, offered, workload.connections, frame)
        finally:
            server.stop()

    def _leave_out(self, workload: Workload, row: Row, error: Exception) -> None:
        reason = str(error) or "failed"
        if not isinstance(error, Wrong | Unavailable):
            reason = f"{type(error).__name__}: {reason}"
        self.left_out.append(f"{row.label} ({workload.name}): {reason}")
        lead = "\n" if sys.stderr.isatty() else ""
        print(f"{lead}left out: {self.left_out[-1]}", file=sys.stderr)


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
                plan.append((workload, rows))
    return plan


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
    plan = chosen(args)
    if not plan:
        print("none of these servers takes part in these workloads", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    fleet.pin(fleet.LOAD_CPU)
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            servers = Fleet(Path(folder))
        except Unavailable as error:
            print(error, file=sys.stderr)
            return 1
        bench = Bench(servers, args.rounds, args.seconds)
        progress = Progress(sum(len(rows) * args.rounds for _, rows in plan))
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
    results |= {"rounds": args.rounds, "seconds": args.seconds}
    print(report.tables(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if args.write and not code:
        report.write(results)
    return code


if __name__ == "__main__":
    sys.exit(main())
