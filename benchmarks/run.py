"""Measures wsext beside its peers, in one interleaved run.

python benchmarks/run.py [--quick] [--write] [--only WORKLOAD]

Each server has one core to itself, the load another one; every round gives each server its turn, so
that a machine that gets slower gets slower for all. Figures are medians over the rounds; the ratio
is to websockets in the same run. CPU time is the server's, from the system.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
KEY = b"\x01\x02\x03\x04"
JSON = json.dumps(
    [{"id": n, "name": f"item {n}", "price": n * 1.25, "tags": ["a", "b"]} for n in range(16)]
).encode()[:1024]


@dataclass(frozen=True)
class Workload:
    """One kind of load.

    Attributes:
        name: For the table.
        connections, in_flight: How many, and messages each has under way.
        payload: What is sent; compressed already for a deflate workload.
        extensions: What is offered.
        servers: Who is measured.
    """

    name: str
    connections: int
    in_flight: int
    payload: bytes
    extensions: str
    servers: tuple[str, ...]


PLAIN = (
    "websockets",
    "aiohttp",
    "picows",
    "picows-api",
    "wsext-coro",
    "wsext-listener",
    "wsext-coro-python",
    "wsext-listener-python",
)
DEFLATE = ("websockets-deflate", "aiohttp-deflate", "wsext-coro-deflate", "wsext-listener-deflate")
NO_OPS = ("wsext-coro", "wsext-coro-noop1", "wsext-coro-noop3")


def deflated(data: bytes) -> bytes:
    """A message as permessage-deflate sends it, without context."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


WORKLOADS = (
    Workload("64 B, 1 connection", 1, 1, b"x" * 64, "", PLAIN),
    Workload("64 B, 64 connections", 64, 1, b"x" * 64, "", PLAIN),
    Workload("64 B, 512 connections", 512, 1, b"x" * 64, "", PLAIN),
    Workload("64 B, 64 connections, 16 in flight", 64, 16, b"x" * 64, "", PLAIN),
    Workload("1 KiB, 64 connections", 64, 1, b"x" * 1024, "", PLAIN),
    Workload("64 KiB, 16 connections", 16, 1, b"x" * 65536, "", PLAIN),
    Workload("1 MiB, 4 connections", 4, 1, b"x" * (1 << 20), "", PLAIN),
    Workload(
        "64 B, 64 connections, no-op extensions", 64, 1, b"x" * 64,
        "x-noop0, x-noop1, x-noop2", NO_OPS,
    ),
    Workload(
        "deflate, 1 KiB of JSON, no context takeover", 64, 1, deflated(JSON),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover", DEFLATE,
    ),
)  # fmt: skip


def frame(payload: bytes, rsv1: bool) -> bytes:
    """A masked text frame."""
    size = len(payload)
    head = bytes([0xC1 if rsv1 else 0x81])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    repeated = (KEY * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + KEY + masked.to_bytes(size, "big")


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Servers:
    """The servers of one workload, started and stopped together."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            port = self.ports[name] = free_port()
            codec = "python" if name.endswith("-python") else "auto"
            self.processes[name] = subprocess.Popen(
                ["taskset", "-c", "0", sys.executable, str(HERE / "servers.py"), name, str(port)],
                env={**os.environ, "WSEXT_CODEC": codec},
                stderr=subprocess.DEVNULL,
            )
        for name in names:
            self._wait(name)

    def _wait(self, name: str) -> None:
        deadline = time.monotonic() + 15
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name])):
                return
            if time.monotonic() > deadline or self.processes[name].poll() is not None:
                print(f"  {name} does not run and is left out", file=sys.stderr)
                self.processes.pop(name).kill()
                return
            time.sleep(0.05)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def measure(
    load: Path, workload: Workload, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Medians by server: messages per second, microseconds of CPU per message, spread, idle."""
    servers = Servers(workload.servers)
    rates: dict[str, list[float]] = {name: [] for name in servers.processes}
    costs: dict[str, list[float]] = {name: [] for name in servers.processes}
    idles: dict[str, list[float]] = {name: [] for name in servers.processes}
    data = frame(workload.payload, "deflate" in workload.extensions)
    try:
        for _ in range(rounds):
            for name, process in servers.processes.items():
                command = ["taskset", "-c", "1", str(load), "127.0.0.1", str(servers.ports[name])]
                shape = (workload.connections, workload.in_flight, seconds, 0.3)
                before = cpu_seconds(process.pid)
                done = subprocess.run(
                    [*command, "/", *map(str, shape), workload.extensions],
                    input=data,
                    capture_output=True,
                    check=False,
                )
                if done.returncode:
                    print(f"  {name}: {done.stderr.decode().strip()}", file=sys.stderr)
                    continue
                used = cpu_seconds(process.pid) - before
                messages, took, idle = map(float, done.stdout.split())
                rates[name].append(messages / took)
                idles[name].append(idle)
                whole = messages * (took + 0.3) / took  # the warm-up costs, too
                costs[name].append(used / whole * 1e6 if whole else 0.0)
    finally:
        servers.stop()
    return {
        name: {
            "rate": statistics.median(values),
            "spread": (max(values) - min(values)) / statistics.median(values),
            "cpu": statistics.median(costs[name]),
            "idle": statistics.median(idles[name]),
        }
        for name, values in rates.items()
        if values
    }


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Everything as Markdown."""
    lines = []
    for workload, rows in results.items():
        base = next((row["rate"] for name, row in rows.items() if name.startswith("websockets")), 0)
        base = base or next(iter(rows.values()))["rate"]
        lines += [f"### {workload}", ""]
        lines += ["| server | messages/s | ratio | CPU per message | spread | load idle |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["rate"]):
            lines.append(
                f"| {name} | {row['rate']:,.0f} | {row['rate'] / base:.2f} | {row['cpu']:.1f} µs"
                f" | {row['spread']:.0%} | {row['idle']:.0%} |"
            )
        lines.append("")
    return "\n".join(lines)


def chart(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The ratios of a few workloads as an SVG."""
    shown = [name for name in results if "no-op" not in name][:6]
    height = 30 + sum(26 + 18 * len(results[name]) for name in shown)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    y = 20
    for workload in shown:
        rows = results[workload]
        top = max(row["rate"] for row in rows.values())
        out.append(f'<text x="8" y="{y}" font-weight="600">{workload}, messages/s</text>')
        y += 8
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["rate"]):
            width = 420 * row["rate"] / top
            colour = "#0b6bcb" if name.startswith("wsext") else "#9aa7b5"
            out.append(f'<text x="170" y="{y + 12}" text-anchor="end">{name}</text>')
            out.append(
                f'<rect x="176" y="{y + 2}" width="{width:.0f}" height="13" fill="{colour}"/>'
            )
            out.append(f'<text x="{182 + width:.0f}" y="{y + 12}">{row["rate"]:,.0f}</text>')
            y += 18
        y += 18
    return "\n".join([*out, "</svg>", ""])


def versions() -> str:
    """What was measured."""
    names = ("wsext", "websockets", "picows", "aiohttp", "uvloop", "aiofastnet")
    found = []
    for name in names:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return f"Python {sys.version.split()[0]}; {', '.join(found)}; {os.cpu_count()} processors"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md and its chart"
    )
    parser.add_argument("--only", default="", help="only workloads whose name has this text")
    args = parser.parse_args()
    rounds, seconds = (3, 0.7) if args.quick else (7, 1.5)
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        load = Path(folder) / "load"
        subprocess.run(["cc", "-O2", "-o", str(load), str(HERE / "load.c")], check=True)
        for workload in WORKLOADS:
            if args.only in workload.name:
                print(f"{workload.name} …", file=sys.stderr)
                results[workload.name] = measure(load, workload, rounds, seconds)
    text = table(results)
    print(text)
    if args.write:
        docs = HERE.parent / "docs"
        (docs / "benchmarks.svg").write_text(chart(results), encoding="utf-8")
        intro = (HERE / "intro.md").read_text(encoding="utf-8")
        page = f"{intro}\n{versions()}.\n\n![messages per second](benchmarks.svg)\n\n{text}"
        (docs / "benchmarks.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
