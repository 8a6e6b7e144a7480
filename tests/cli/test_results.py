"""How values and tables look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsext.cli.results import as_json, as_text, new_table, output


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (1.5, "1.5"),
        ("x", "x"),
        (("a", 2), "a, 2"),
        ([], "none"),
    ],
)
def test_a_value_is_shown_as_people_write_it(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_json_is_indented() -> None:
    text = as_json({"a": [1, 2]})
    assert json.loads(text) == {"a": [1, 2]}
    assert "\n  " in text


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = new_table("NAME", "TEXT")
    table.add_row("a", "x" * 120)
    output().print(table)
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "TEXT"]
    assert row.rstrip() == "a     " + "x" * 120
