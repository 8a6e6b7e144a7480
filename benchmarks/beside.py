"""One table of every server, in any language: Python beside the others."""

from __future__ import annotations

from typing import Any

import recipes

__all__ = ["beside"]

#: The workloads that are shown, by the titles of their columns.
_COLUMNS = {
    "64 B": "64 B, 64 connections",
    "16 in flight": "64 B, 64 connections, 16 in flight",
    "64 KiB": "64 KiB, 16 connections",
    "deflate": "deflate, 1 KiB of JSON, no context takeover",
    "broadcast": "broadcast, 64 B to 500",
    "deflated broadcast": "broadcast, 64 B to 500, one at a time, deflate, no context takeover",
    "handshakes": "handshake, one echo, close",
    "idle memory": "idle memory, 1,000 connections",
}
_OTHERS = {"floor": "C", "socketify": "Python, C++ below"}


def beside(results: dict[str, Any]) -> list[str]:
    """The lines of the table, best first; none if only Python was measured."""
    rows = {workload["name"]: _rows(workload) for workload in results["workloads"]}
    shown = {title: rows[name] for title, name in _COLUMNS.items() if rows.get(name)}
    servers = {server: _language(server) for column in shown.values() for server in column}
    if all(language == "Python" for language in servers.values()):
        return []
    lines = ["## Python beside the others", ""]
    lines += ["Ratios to `websockets`, more is better; memory in KiB per connection.", ""]
    lines += ["| server | language | " + " | ".join(shown) + " |"]
    lines += ["|---|---|" + "---:|" * len(shown)]
    for server, language in servers.items():
        cells = [column.get(server, "") for column in shown.values()]
        lines.append("| " + " | ".join([server, language, *cells]) + " |")
    return [*lines, ""]


def _rows(workload: dict[str, Any]) -> dict[str, str]:
    """The cell of each server; wsext without compiled code has its place in other tables."""
    return {
        row["server"]: f"{row['median']:.1f}" if workload["less"] else f"{row['ratio'] or 0:.2f}"
        for row in workload["rows"]
        if "-python" not in row["server"]
    }


def _language(server: str) -> str:
    if server in recipes.RECIPES:
        return recipes.RECIPES[server][0].language
    return _OTHERS.get(server, "Python")
