"""Where in a TOML file a name is set: on which line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["line_of"]


def line_of(text: str, dotted: str) -> int | None:
    """The line on which a name begins, counted from 1; ``None`` if it is not there.

    Args:
        text: The file. It has to be TOML as a whole.
        dotted: For example ``server.max_connections``. A dash is an underscore, as for options.
    """
    wanted = dotted.replace("-", "_")
    heading, statement, start = "", "", 1
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        statement += line
        try:
            table = tomllib.loads(heading + statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if wanted in _names(table):
            return start
        if statement.lstrip().startswith("["):
            heading = statement
        statement, start = "", number + 1
    return None


def _names(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in table.items():
        name = above + key.replace("-", "_")
        yield name
        if isinstance(value, Mapping):
            yield from _names(value, f"{name}.")
