"""The results as JSON-able data, and as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import zlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import recipes
from beside import beside
from chart import summary
from fleet import LOAD_CPU, SERVER_CPU
from messages import reference_size
from workloads import NO_TAKEOVER, Row, Workload

__all__ = ["behind", "collect", "machine", "tables", "write"]

HERE = Path(__file__).parent
BASE = "websockets"
NOTABLE = 1.03  # whoever is less ahead is not said to be
PACKAGES = (
    "wsext",
    BASE,
    "picows",
    "aiohttp",
    "isal",
    "zlib-ng",
    "uvicorn",
    "wsproto",
    "granian",
    "socketify",
    "tornado",
    "uvloop",
    "aiofastnet",
    "fastapi",
    "hypercorn",
    "redis",
    "nats-py",
)


def collect(
    plan: list[tuple[Workload, list[Row]]], results: dict[str, Any], left_out: list[str]
) -> dict[str, Any]:
    """Everything that was found out, ready for `json.dumps`."""
    workloads = []
    for workload, planned in plan:
        rows = [
            {"server": label, **_summary(figures)}
            for label, figures in results.get(workload.name, {}).items()
            if figures.values
        ]
        medians = {row["server"]: row["median"] for row in rows}
        bases = {row.label: row.base for row in planned}
        for row in rows:
            base = medians.get(bases[row["server"]])
            row["ratio"] = row["median"] / base if base else None
        if len(set(bases.values())) == 1:
            rows.sort(key=lambda row: row["median"], reverse=not workload.less_is_better)
        compressed = workload.is_compressed and workload.kind in ("echo", "room")
        fresh = workload.deflate == NO_TAKEOVER or bool(workload.zstd)
        workloads.append(
            {
                "name": workload.name,
                "group": workload.group,
                "kind": workload.kind,
                "unit": workload.unit,
                "less": workload.less_is_better,
                "base": planned[0].base if len(set(bases.values())) == 1 else None,
                "zlib6": reference_size(workload.messages, fresh) if compressed else None,
                "rows": rows,
            }
        )
    return {"machine": machine(), "workloads": workloads, "left_out": left_out}


def _summary(figures: Any) -> dict[str, Any]:
    middle = statistics.median(figures.values)
    return {
        "median": middle,
        "spread": (max(figures.values) - min(figures.values)) / middle if middle else 0.0,
        "cpu": statistics.median(figures.cpu) if figures.cpu else None,
        "busy": statistics.median(figures.busy) if figures.busy else None,
        "idle": statistics.median(figures.idle) if figures.idle else None,
        "size": figures.size or None,
        "rate": figures.rate or None,
        "tail": _tail(figures.tails) if figures.tails else None,
        "agreed": figures.agreed,
        "values": figures.values,
    }


def _tail(tails: list[list[float]]) -> dict[str, float]:
    """Latencies of all rounds: medians, and the largest of all."""
    columns = list(zip(*tails, strict=True))
    names = ("p50", "p99", "p99.9", "max", "late")
    found = {name: statistics.median(column) for name, column in zip(names, columns, strict=True)}
    return found | {"max": max(columns[names.index("max")])}


def machine() -> str:
    """What the figures were measured on and with."""
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    found += [f"zlib {zlib.ZLIB_RUNTIME_VERSION}", *recipes.versions()]
    shared = "" if SERVER_CPU != LOAD_CPU else ", of which servers and load share one"
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors{shared}; "
        f"Python {sys.version.split()[0]}; {', '.join(found)}"
    )


def tables(results: dict[str, Any]) -> str:
    """Everything as Markdown."""
    lines = _warning(results)
    for group in dict.fromkeys(workload["group"] for workload in results["workloads"]):
        members = [w for w in results["workloads"] if w["group"] == group]
        lines += [f"## {group}", ""]
        lines += _paces(members)
        for workload in members:
            lines += _table(workload)
    if results["left_out"]:
        lines += ["## Left out", ""]
        lines += [f"- {line}" for line in results["left_out"]] + [""]
    return "\n".join(lines)


def _table(workload: dict[str, Any]) -> list[str]:
    """One workload, a line for each server."""
    columns = _pace_columns() if workload["kind"] == "pace" else _columns(workload)
    lines = [f"### {workload['name']}", "", *_head(list(columns))]
    for row in workload["rows"]:
        lines.append("| " + " | ".join([make(row) for make in columns.values()]) + " |")
    lines.append("")
    if workload["zlib6"]:
        lines += [f"zlib at level 6: {workload['zlib6']:,.0f} bytes per message.", ""]
    return lines


def _head(titles: list[str]) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]


def _paces(workloads: list[dict[str, Any]]) -> list[str]:
    """The 99th percentiles of several rates beside each other."""
    lines: list[str] = []
    for connections in dict.fromkeys(
        w["name"].partition(", ")[0] for w in workloads if w["kind"] == "pace"
    ):
        paced = [w for w in workloads if w["name"].startswith(f"{connections}, ")]
        paced = [w for w in paced if w["kind"] == "pace"]
        if len(paced) < 2:
            continue
        found = {
            workload["name"].partition(", ")[2]: {
                row["server"]: f"{row['tail']['p99']:,.0f} / {row['tail']['p99.9']:,.0f}"
                for row in workload["rows"]
            }
            for workload in paced
        }
        servers = dict.fromkeys(name for cells in found.values() for name in cells)
        lines += [f"### {connections}: p99 / p99.9 in µs", "", *_head(["server", *found])]
        for server in servers:
            cells = [cells.get(server, "") for cells in found.values()]
            lines.append("| " + " | ".join([server, *cells]) + " |")
        lines.append("")
    return lines


def behind(results: dict[str, Any]) -> list[str]:
    """Who is ahead of wsext, and where: made of the figures."""
    lines = ["| workload | ahead |", "|---|---|"]
    for workload in results["workloads"]:
        for row in workload["rows"]:
            ahead = [
                f"{other['server']} {gain:.2f}x"
                for other in _rivals(row, workload["rows"])
                if (gain := _gain(other, row, workload["less"])) >= NOTABLE
            ]
            if ahead:
                lines.append(f"| {workload['name']}: {row['server']} | {', '.join(ahead)} |")
    return lines if len(lines) > 2 else ["Nowhere, in this run."]


def _rivals(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whom a line of wsext is compared with: those of others, under uvicorn those of its kind."""
    server, _, variant = row["server"].rpartition("wsext")
    if "wsext" not in row["server"] or variant not in ("", "-listener"):
        return []
    others = [other for other in rows if "wsext" not in other["server"]]
    return [other for other in others if other["server"].startswith(server.rstrip("-"))]


def _gain(other: dict[str, Any], row: dict[str, Any], less: bool) -> float:
    """How much better the other one is."""
    better, worse = (row, other) if less else (other, row)
    return float(better["median"] / worse["median"]) if worse["median"] else 0.0


def _warning(results: dict[str, Any]) -> list[str]:
    """Says so if the machine was not the benchmark's alone."""
    full = [w for w in results["workloads"] if w["kind"] != "pace"]
    shares = [row["busy"] for workload in full for row in workload["rows"] if row["busy"]]
    if not shares or statistics.median(shares) > 0.75:
        return []
    share = f"{statistics.median(shares):.0%}"
    return [f"**Disturbed**: half of the servers ran for less than {share} of their turn.", ""]


def _columns(workload: dict[str, Any]) -> dict[str, Any]:
    """Titles of the columns, and what makes their cells."""
    memory = workload["kind"] == "memory"
    digits = ".1f" if memory else ".0f"
    columns: dict[str, Any] = {
        "server": lambda row: row["server"],
        workload["unit"]: lambda row: f"{row['median']:,{digits}}",
        "ratio": _ratio,
    }
    if not memory:
        columns["CPU per message"] = _cpu
    if workload["zlib6"]:
        columns["reply size"] = lambda row: f"{row['size']:,.0f} B"
        columns["of zlib 6"] = lambda row: f"{row['size'] / workload['zlib6']:.0%}"
    columns["spread"] = lambda row: f"{row['spread']:.0%}"
    if not memory:
        columns["server busy"] = lambda row: f"{row['busy']:.0%}"
    if not memory and workload["kind"] != "client":
        columns["load idle"] = lambda row: f"{row['idle']:.0%}"
    return columns


def _pace_columns() -> dict[str, Any]:
    """The same for latencies, in microseconds."""
    columns: dict[str, Any] = {
        "server": lambda row: row["server"],
        "asked for": lambda row: f"{row['rate']:,.0f}/s",
    }
    for name in ("p50", "p99", "p99.9", "max"):
        columns[f"{name}, µs"] = lambda row, name=name: f"{row['tail'][name]:,.0f}"
    return columns | {
        "p99 ratio": _ratio,
        "CPU per message": _cpu,
        "spread": lambda row: f"{row['spread']:.0%}",
        "server busy": lambda row: f"{row['busy']:.0%}",
        "load late, µs": lambda row: f"{row['tail']['late']:,.0f}",
    }


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f}" if row["ratio"] else ""


def _cpu(row: dict[str, Any]) -> str:
    return f"{row['cpu']:.1f} µs"


def write(results: dict[str, Any]) -> None:
    """The page and the chart in ``docs/``."""
    docs = HERE.parent / "docs"
    (docs / "benchmarks.svg").write_text(summary(results), encoding="utf-8")
    intro = (HERE / "intro.md").read_text(encoding="utf-8")
    rounds = f"{results['rounds']} rounds of {results['seconds']:g} s"
    page = [
        "# Benchmarks",
        "",
        "![wsext beside the others, one line for each workload](benchmarks.svg)",
        "",
        "Further to the right is better; 1 is the server that a line is compared with.",
        f"{results['machine']}; {rounds}.",
        "",
        "## Where wsext is slower",
        "",
        *behind(results),
        "",
        *beside(results),
        "## How it is measured",
        "",
        intro,
        tables(results),
    ]
    (docs / "benchmarks.md").write_text("\n".join(page), encoding="utf-8")
