"""The curves of ``growth.py`` as a page: tables, and a chart of each on logarithmic scales."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from chart import STYLE

__all__ = ["chart", "tables", "write"]

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"

WIDTH, HEIGHT, LEFT, TOP = 400, 190, 60, 26  # of a panel, and of what is beside its plot
PLOT_WIDTH, PLOT_HEIGHT = 310, 120


def write(results: dict[str, Any]) -> None:
    """The page and the chart in ``docs/``."""
    (DOCS / "growth.svg").write_text(chart(results), encoding="utf-8")
    intro = (HERE / "growth.md").read_text(encoding="utf-8")
    rounds = f"{results['rounds']} rounds of {results['seconds']:g} s"
    page = f"{intro}\n{results['machine']}; {rounds}.\n\n"
    page += f"![total cost against size](growth.svg)\n\n{tables(results)}"
    (DOCS / "growth.md").write_text(page, encoding="utf-8")


def tables(results: dict[str, Any]) -> str:
    """The exponents, and every point, in Markdown."""
    lines = ["| what grows | CPU | steepest | memory | steepest |", "|---|---:|---:|---:|---:|"]
    for curve in results["curves"]:
        keys = [f"{what} {fit}" for what in ("cpu", "memory") for fit in ("exponent", "steepest")]
        cells = [f"{curve[key]:.2f}" if key in curve else "" for key in keys]
        lines.append("| " + " | ".join([curve["name"], *cells]) + " |")
    for curve in results["curves"]:
        lines += ["", f"### {curve['name'].capitalize()}", "", f"In all: {curve['total']}.", ""]
        lines += [f"| {curve['name']} | CPU per message | CPU in all | memory |"]
        lines += ["|---:|---:|---:|---:|"]
        columns = (curve[key] for key in ("sizes", "each", "cpu", "memory"))
        for size, each, cpu, memory in zip(*columns, strict=True):
            lines.append(f"| {size:,} | {each:,.1f} µs | {_time(cpu)} | {_bytes(memory)} |")
    if results["left_out"]:
        lines += ["", "### Left out", "", *(f"- {reason}" for reason in results["left_out"])]
    return "\n".join([*lines, ""])


def _time(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:,.1f} {unit}"
    return f"{microseconds:,.1f} µs"


def _bytes(kib: float) -> str:
    for unit, size in (("GiB", 1 << 20), ("MiB", 1 << 10)):
        if kib >= size:
            return f"{kib / size:,.1f} {unit}"
    return f"{kib:,.0f} KiB"


def chart(results: dict[str, Any]) -> str:
    """CPU time on the left, memory on the right; a broken line shows linear growth."""
    parts = []
    for row, curve in enumerate(results["curves"]):
        for column, (what, unit) in enumerate((("cpu", "CPU time"), ("memory", "memory"))):
            x, y = 8 + column * WIDTH, 8 + row * HEIGHT
            parts += _panel(curve, what, unit, x, y)
    height = 16 + HEIGHT * len(results["curves"])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 16} {height}" '
        'font-family="system-ui, sans-serif" font-size="11">'
    )
    lines = (
        ".line { fill: none; stroke: #0969da; stroke-width: 2 } .linear { stroke: #9aa4af; "
        "stroke-dasharray: 4 4 } .dot { fill: #0969da }"
    )
    card = '<rect class="card" width="100%" height="100%" rx="8"/>'
    return "\n".join([head, f"<style>{STYLE}{lines}</style>", card, *parts, "</svg>", ""])


def _panel(curve: dict[str, Any], what: str, unit: str, x: int, y: int) -> list[str]:
    """One plot of a total against the size."""
    fit = curve.get(f"{what} exponent")
    title = escape(f"{curve['name']}: {unit}")
    out = [
        f'<text x="{x}" y="{y + 12}" font-weight="600">{title}'
        f'<tspan class="dim" font-weight="400"> · '
        f"{'too small to fit' if fit is None else f'exponent {fit:.2f}'}</tspan></text>"
    ]
    points = curve[f"{what} fitted"]
    if fit is None:
        return out
    sizes, costs = zip(*points, strict=True)
    low, high = min(costs), max(costs)
    across, up = math.log(sizes[-1] / sizes[0]), math.log(high / low) or 1.0

    def place(size: float, cost: float) -> tuple[float, float]:
        right = x + LEFT + PLOT_WIDTH * math.log(size / sizes[0]) / across
        return right, y + TOP + PLOT_HEIGHT * (1 - math.log(cost / low) / up)

    spots = [place(size, cost) for size, cost in points]
    rate = costs[-1] / sizes[-1]  # of linear growth that ends at the last point
    start = max(sizes[0], low / rate)
    (left, down), (right, top) = place(start, start * rate), spots[-1]
    out.append(f'<path class="linear" d="M{left:.1f} {down:.1f} L{right:.1f} {top:.1f}"/>')
    line = " ".join(f"{right:.1f},{down:.1f}" for right, down in spots)
    out.append(f'<polyline class="line" points="{line}"/>')
    out += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in spots]
    show = _time if what == "cpu" else _bytes
    bottom = y + TOP + PLOT_HEIGHT
    out += [
        f'<text class="dim" x="{x + LEFT - 8}" y="{y + TOP + 4}" text-anchor="end">'
        f"{show(high)}</text>",
        f'<text class="dim" x="{x + LEFT - 8}" y="{bottom + 4}" text-anchor="end">'
        f"{show(low)}</text>",
        f'<text class="dim" x="{x + LEFT}" y="{bottom + 18}">{sizes[0]:,}</text>',
        f'<text class="dim" x="{x + LEFT + PLOT_WIDTH}" y="{bottom + 18}" text-anchor="end">'
        f"{sizes[-1]:,}</text>",
    ]
    return out
