"""The results as JSON-able data, as Markdown tables and as a chart."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import zlib
from contextlib import suppress
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import recipes
from beside import beside
from fleet import LOAD_CPU, SERVER_CPU
from workloads import Row, Workload, reference_size

__all__ = ["STYLE", "collect", "machine", "tables", "write"]

HERE = Path(__file__).parent
BASE = "websockets"
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
        if all(base == BASE for base in bases.values()):
            rows.sort(key=lambda row: row["median"], reverse=workload.kind != "memory")
        deflate = workload.deflate and workload.kind == "echo"
        workloads.append(
            {
                "name": workload.name,
                "unit": workload.unit,
                "zlib6": reference_size(workload.messages, workload.deflate) if deflate else None,
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
        "agreed": figures.agreed,
        "values": figures.values,
    }


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
    lines = _warning(results) + beside(results)
    for workload in results["workloads"]:
        columns = _columns(workload)
        lines += [f"### {workload['name']}", "", "| " + " | ".join(columns) + " |"]
        lines += ["|---|" + "---:|" * (len(columns) - 1)]
        for row in workload["rows"]:
            cells = [make(row) for make in columns.values()]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
        if workload["zlib6"]:
            lines += [f"zlib at level 6: {workload['zlib6']:,.0f} bytes per message.", ""]
    if results["left_out"]:
        lines += ["### Left out", ""]
        lines += [f"- {line}" for line in results["left_out"]] + [""]
    return "\n".join(lines)


def _warning(results: dict[str, Any]) -> list[str]:
    """Says so if the machine was not the benchmark's alone."""
    shares = [row["busy"] for w in results["workloads"] for row in w["rows"] if row["busy"]]
    if not shares or statistics.median(shares) > 0.75:
        return []
    share = f"{statistics.median(shares):.0%}"
    return [f"**Disturbed**: half of the servers ran for less than {share} of their turn.", ""]


def _columns(workload: dict[str, Any]) -> dict[str, Any]:
    """Titles of the columns, and what makes their cells."""
    memory = workload["unit"].startswith("KiB")
    digits = ".1f" if memory else ".0f"
    columns: dict[str, Any] = {
        "server": lambda row: row["server"],
        workload["unit"]: lambda row: f"{row['median']:,{digits}}",
        "ratio": lambda row: f"{row['ratio']:.2f}" if row["ratio"] else "",
    }
    if not memory:
        columns["CPU per message"] = lambda row: f"{row['cpu']:.1f} µs"
    if workload["zlib6"]:
        columns["reply size"] = lambda row: f"{row['size']:,.0f} B"
        columns["of zlib 6"] = lambda row: f"{row['size'] / workload['zlib6']:.0%}"
    columns["spread"] = lambda row: f"{row['spread']:.0%}"
    if not memory:
        columns["server busy"] = lambda row: f"{row['busy']:.0%}"
        columns["load idle"] = lambda row: f"{row['idle']:.0%}"
    return columns


WIDTH, BAR, LINE = 400, 150, 17
STYLE = """
.card { fill: #ffffff } text { fill: #24292f } .dim { fill: #57606a }
.ours { fill: #0969da } .peer { fill: #9aa4af } .floor { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
  .card { fill: #161b22 } text { fill: #e6edf3 } .dim { fill: #9da7b3 }
  .ours { fill: #4493f8 } .peer { fill: #6e7681 } .floor { fill: #3d444d }
}
"""


def chart(results: dict[str, Any]) -> str:
    """Every workload but the stacks of extensions as bars, in two columns."""
    shown = [w for w in results["workloads"] if w["rows"] and "extensions" not in w["name"]]
    heights, parts = [16, 16], []
    for workload in shown:
        column = 0 if heights[0] <= heights[1] else 1
        panel, height = _panel(workload, 16 + column * WIDTH, heights[column])
        parts += panel
        heights[column] += height
    height = max(heights)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 16} {height}" '
        'font-family="system-ui, sans-serif" font-size="11">'
    )
    card = '<rect class="card" width="100%" height="100%" rx="8"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *parts, "</svg>", ""])


def _panel(workload: dict[str, Any], x: int, y: int) -> tuple[list[str], int]:
    """The bars of one workload, and how high they are."""
    rows = [row for row in workload["rows"] if "-python" not in row["server"]]
    top = 1.1 * max([row["median"] for row in rows if row["server"] != "floor"] or [1])
    unit = workload["unit"] + (", less is better" if workload["unit"].startswith("KiB") else "")
    out = [
        f'<text x="{x}" y="{y + 12}" font-weight="600">{escape(workload["name"])}'
        f'<tspan class="dim" font-weight="400"> · {unit}</tspan></text>'
    ]
    at = y + 20
    for row in rows:
        name = row["server"]
        kind = "ours" if name.startswith("wsext") else "floor" if name == "floor" else "peer"
        width = min(BAR, max(1, round(BAR * row["median"] / top)))
        ratio = f" · {row['ratio']:.2f}&#215;" if row["ratio"] else ""
        value = f"{row['median']:,.1f}" if row["median"] < 100 else f"{row['median']:,.0f}"
        out.append(f'<text x="{x + 100}" y="{at + 11}" text-anchor="end">{escape(name)}</text>')
        out.append(
            f'<rect class="{kind}" x="{x + 106}" y="{at + 2}" width="{width}" height="12" rx="2"/>'
        )
        if row["median"] > top:  # the floor, far ahead: a broken bar
            cut = x + 106 + BAR - 12
            out.append(f'<path class="card" d="M{cut} {at + 15} l4 -14 h3 l-4 14 z"/>')
        out.append(f'<text x="{x + 112 + width}" y="{at + 11}">{value}{ratio}</text>')
        at += LINE
    return out, at - y + 16


def write(results: dict[str, Any]) -> None:
    """The page and the chart in ``docs/``."""
    docs = HERE.parent / "docs"
    (docs / "benchmarks.svg").write_text(chart(results), encoding="utf-8")
    intro = (HERE / "intro.md").read_text(encoding="utf-8")
    rounds = f"{results['rounds']} rounds of {results['seconds']:g} s"
    page = f"{intro}\n{results['machine']}; {rounds}.\n\n"
    page += f"![every workload as bars](benchmarks.svg)\n\n{tables(results)}"
    (docs / "benchmarks.md").write_text(page, encoding="utf-8")
