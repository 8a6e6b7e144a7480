"""How the result of a command looks: tables and values for people, JSON for programs."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

__all__ = ["as_json", "as_text", "new_table", "output"]


def output() -> Console:
    """Where results go: tables as wide as the terminal, or wide enough not to be cut in a pipe."""
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, width=width, soft_wrap=False)


def new_table(*headings: str, **columns: Any) -> Table:
    """A table without lines; ``columns`` is what `Table.add_column` takes."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, **{"overflow": "fold", **columns})
    return table


def as_text(value: Any) -> str:
    """An option's value as people write it."""
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_json(value: Any) -> str:
    """A value as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
