"""How the cost of wsext grows: with connections, message size, members, codecs and rooms.

``python benchmarks/growth.py [--quick] [--only CURVE] [--write]``. Each point of a curve is a fresh
server under load. What is fitted is the total cost against the size, on logarithmic scales: an
exponent of 1 is linear growth.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import fleet
import growth_page
import report
from fleet import Fleet, Server, Unavailable, run_load
from tape import offer, tape
from workloads import Workload

WARMUP = 0.3  # seconds
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # descriptors that a process may have
MOST = min(20_000, FILES // 8 * 7)  # connections; servers keep the rest for other purposes


@dataclass(frozen=True)
class Load:
    """What a server has to do at one point of a curve."""

    connections: int = 64
    in_flight: int = 1
    size: int = 64
    codecs: int = 0
    rooms: int = 0

    @property
    def workload(self) -> Workload:
        """The same for the harness."""
        kind = "room" if self.rooms else "echo"
        return Workload("", (b"x" * self.size,), self.connections, self.in_flight, kind=kind)


@dataclass(frozen=True)
class Curve:
    """One thing that grows.

    Attributes:
        name: For the tables, and for ``--only``.
        total: What is counted in full at each size.
        sizes: From the smallest to the largest. After a zero, what is added to it is fitted.
        load: The load at a size.
        times_size: Whether the total is the cost of one message, times the size.
        in_c: Whether the server ``floor`` does the same, to tell what the machine adds.
    """

    name: str
    total: str
    sizes: tuple[int, ...]
    load: Callable[[int], Load]
    times_size: bool = True
    in_c: bool = True


CURVES = (
    Curve(
        "connections",
        "one message on each connection",
        (1, 8, 64, 512, 4096, MOST),
        lambda n: Load(connections=n),
    ),
    Curve(
        "message size",
        "one message of that many bytes",
        (1 << 4, 1 << 8, 1 << 12, 1 << 16, 1 << 20, 1 << 24),
        lambda n: Load(connections=4, size=n),
        times_size=False,
    ),
    Curve(
        "members",
        "one message to every member of a room",
        (10, 100, 1000, 10_000),
        lambda n: Load(connections=n, in_flight=2, rooms=1),
    ),
    Curve(
        "codecs",
        "what codecs add to one message",
        (0, 1, 2, 4, 8),
        lambda n: Load(connections=512, in_flight=16, codecs=n),
        times_size=False,
        in_c=False,
    ),
    Curve(
        "rooms",
        "one message to each room, of one member",
        (1, 10, 100, 1000, 10_000, 100_000),
        lambda n: Load(connections=1, in_flight=16, rooms=n),
        in_c=False,
    ),
)


@dataclass
class Point:
    """What was measured at one size, a value per round.

    Attributes:
        cpu: Microseconds of CPU time per message.
        memory: KiB of resident memory at its peak, beyond those of the server without load.
        floor: The CPU time that a C loop takes for a message.
    """

    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


def measure(servers: Fleet, name: str, load: Load, seconds: float) -> tuple[float, float]:
    """CPU time per message and memory of a fresh server in one turn, as in `Point`.

    Raises:
        Unavailable: If it fails.
    """
    os.environ["GROWTH_ROOMS"] = str(load.rooms or 1)
    server = servers.fresh(name)
    try:
        before = _memory(server, "VmRSS")
        workload = load.workload
        where = (server.port, "/room" if load.rooms else "/", load.connections, load.in_flight)
        times = (seconds, WARMUP, ",".join(map(str, server.pids())))
        offers = [f"x-noop{number}" for number in range(load.codecs)]
        arguments = (*where, *times, load.size, offer(workload, offers, servers.tools))
        messages, _, _, cpu, *_ = run_load(
            servers.tools / "load", arguments, tape(workload, offers, "", servers.tools)
        )
        return cpu / messages * 1e6, _memory(server, "VmHWM") - before
    finally:
        server.stop()


def _memory(server: Server, what: str) -> float:
    """KiB of a server, from the line of that name in its status."""
    total = 0
    for pid in server.pids():
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
    return total


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The power of the size with which a cost grows: least squares on logarithmic scales."""
    x, y = ([math.log(value) for value in values] for values in (sizes, costs))
    return statistics.linear_regression(x, y).slope


def steepest(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The largest exponent between two neighbours."""
    return max(exponent(xs, ys) for xs, ys in zip(pairwise(sizes), pairwise(costs), strict=True))


def summary(curve: Curve, points: dict[int, Point]) -> dict[str, Any]:
    """A curve's totals and how they grow, ready for `json.dumps`."""
    sizes = list(points)
    each = {
        "cpu": [statistics.median(point.cpu) for point in points.values()],
        "floor": [statistics.median(point.floor) for point in points.values() if point.floor],
    }
    totals = {"memory": [statistics.median(point.memory) for point in points.values()]}
    for what, costs in each.items():
        counts = sizes if curve.times_size else [1] * len(sizes)
        totals[what] = [count * cost for count, cost in zip(counts, costs, strict=False)]
    result: dict[str, Any] = {"name": curve.name, "total": curve.total, "sizes": sizes}
    result |= {"each": each, **totals}
    for what, costs in totals.items():
        base = costs[0] if costs and sizes[0] == 0 else 0.0
        fitted = [(n, c - base) for n, c in zip(sizes, costs, strict=False) if n and c > base]
        result[f"{what} fitted"] = fitted
        if len(fitted) > 1:
            xs, ys = zip(*fitted, strict=True)
            result[f"{what} exponent"] = exponent(xs, ys)
            result[f"{what} steepest"] = steepest(xs, ys)
    return result


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each point")
    add("--seconds", type=float, default=1.0, help="length of a turn")
    add("--only", action="append", choices=[curve.name for curve in CURVES], help="repeatable")
    add("--largest", type=float, default=math.inf, help="leave larger sizes out")
    add("--write", action="store_true", help="write docs/growth.md and its chart")
    add("--json", type=Path, help="write every figure into this file")
    return parser.parse_args()


def run(args: argparse.Namespace, servers: Fleet) -> dict[str, Any]:
    """All curves; a point that fails is left out."""
    curves, left_out = [], []
    for curve in CURVES:
        if args.only and curve.name not in args.only:
            continue
        points = {size: Point() for size in curve.sizes if size <= args.largest}
        for turn in range(args.rounds):
            for size in list(points):
                print(f"{curve.name}: {size:,} ({turn + 1}/{args.rounds})", file=sys.stderr)
                load, point = curve.load(size), points[size]
                try:
                    cpu, memory = measure(servers, "growth", load, args.seconds)
                    point.cpu.append(cpu)
                    point.memory.append(memory)
                    if curve.in_c:
                        point.floor.append(measure(servers, "floor", load, args.seconds)[0])
                except Unavailable as error:
                    left_out.append(f"{curve.name}, {size:,}: {error}")
                    del points[size]
        curves.append(summary(curve, points))
    rounds = {"rounds": args.rounds, "seconds": args.seconds}
    return {"machine": report.machine(), **rounds, "curves": curves, "left_out": left_out}


def main() -> int:
    args = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    fleet.pin(fleet.LOAD_CPU)
    with tempfile.TemporaryDirectory() as folder:
        try:
            servers = Fleet(Path(folder))
        except Unavailable as error:
            print(error, file=sys.stderr)
            return 1
        try:
            results = run(args, servers)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        finally:
            servers.stop()
    print(growth_page.tables(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if args.write:
        growth_page.write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
