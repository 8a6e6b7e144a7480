"""The summary as an image: one line for each workload, a dot for each server."""

from __future__ import annotations

import math
from html import escape
from typing import Any

__all__ = ["STYLE", "summary"]

WIDTH, LEFT, RIGHT, LINE = 980, 360, 730, 20
FLOOR = "floor"
LEAST, MOST = 1 / 4, 64  # the axis, as ratios
STYLE = """
.card { fill: #ffffff } text { fill: #24292f } .dim { fill: #57606a }
.grid { stroke: #d8dee4 } .one { stroke: #8c959f }
.ours { fill: #0969da } .peer { fill: #9aa4af } .best { fill: #57606a }
.floor { fill: none; stroke: #9aa4af }
@media (prefers-color-scheme: dark) {
  .card { fill: #161b22 } text { fill: #e6edf3 } .dim { fill: #9da7b3 }
  .grid { stroke: #30363d } .one { stroke: #6e7681 }
  .ours { fill: #4493f8 } .peer { fill: #6e7681 } .best { fill: #9da7b3 }
  .floor { stroke: #6e7681 }
}
"""


def summary(results: dict[str, Any]) -> str:
    """Every workload whose servers are compared with the same one, as SVG."""
    shown = [w for w in results["workloads"] if w["base"] and len(_gains(w)) > 1]
    groups = list(dict.fromkeys(workload["group"] for workload in shown))
    shown.sort(key=lambda workload: groups.index(workload["group"]))
    parts, y, group = _legend(), 44, ""
    for workload in shown:
        if workload["group"] != group:
            group = workload["group"]
            y += 12
            parts.append(f'<text x="16" y="{y + 14}" font-weight="600">{escape(group)}</text>')
            y += LINE
        parts += _line(workload, y)
        y += LINE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 16}" '
        'font-family="system-ui, sans-serif" font-size="11">'
    )
    card = '<rect class="card" width="100%" height="100%" rx="8"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *_grid(y), *parts, "</svg>", ""])


def _gains(workload: dict[str, Any]) -> dict[str, float]:
    """How much better than the base each server is, by name."""
    ratios = {row["server"]: row["ratio"] for row in workload["rows"] if row["ratio"]}
    if workload["less"]:
        ratios = {name: 1 / ratio for name, ratio in ratios.items()}
    return {name: gain for name, gain in ratios.items() if "-python" not in name}


def _at(gain: float) -> float:
    """Where a ratio is on the axis."""
    share = math.log(min(max(gain, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (RIGHT - LEFT)


def _grid(bottom: int) -> list[str]:
    lines, gain = [], LEAST
    while gain <= MOST:
        x, kind = _at(gain), "one" if gain == 1 else "grid"
        label = f"{gain:g}" if gain >= 1 else f"1/{1 / gain:g}"
        lines.append(f'<line class="{kind}" x1="{x:.0f}" y1="44" x2="{x:.0f}" y2="{bottom}"/>')
        lines.append(
            f'<text class="dim" x="{x:.0f}" y="38" text-anchor="middle">{label}&#215;</text>'
        )
        gain *= 2
    return lines


def _legend() -> list[str]:
    parts, x = [], LEFT
    words = {"ours": "wsext", "best": "the best other", "peer": "others", "floor": "a loop in C"}
    for kind, label in words.items():
        parts.append(f'<circle class="{kind}" cx="{x}" cy="16" r="4"/>')
        parts.append(f'<text x="{x + 9}" y="20">{label}</text>')
        x += 30 + 6 * len(label)
    return parts


def _line(workload: dict[str, Any], y: int) -> list[str]:
    """The dots of one workload, and who is best."""
    gains = _gains(workload)
    others = {name: gain for name, gain in gains.items() if "wsext" not in name}
    ours = {name: gain for name, gain in gains.items() if "wsext" in name}
    best = max((name for name in others if name != FLOOR), key=others.__getitem__, default="")
    base = "" if workload["base"] == "websockets" else f" (to {workload['base']})"
    parts = [
        f'<text x="{LEFT - 14}" y="{y + 14}" text-anchor="end">{escape(workload["name"])}'
        f'<tspan class="dim">{escape(base)}</tspan></text>'
    ]
    kinds = {best: "best", FLOOR: "floor"}
    dots = [(kinds.get(name, "peer"), name, gain) for name, gain in others.items()]
    dots.sort(key=lambda dot: dot[0] == "best")
    dots += [("ours", name, gain) for name, gain in ours.items()]
    for kind, name, gain in dots:
        parts.append(
            f'<circle class="{kind}" cx="{_at(gain):.1f}" cy="{y + 10}" r="4">'
            f"<title>{escape(name)} {gain:.2f}&#215;</title></circle>"
        )
    said = []
    if ours:
        fronts = [name for name in ours if name.endswith("-wsext")]  # of others
        name = max(fronts or ours, key=ours.__getitem__)
        said.append(f"{name} {ours[name]:.2f}x")
    if best:
        said.append(f"{best} {others[best]:.2f}x")
    parts.append(
        f'<text class="dim" x="{RIGHT + 12}" y="{y + 14}">{escape("; ".join(said))}</text>'
    )
    return parts
