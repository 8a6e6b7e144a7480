"""A configuration: values by section, and where each comes from."""

from __future__ import annotations

from typing import Any

import pytest

from wsext import OptionError
from wsext.config.configuration import Config


def test_later_values_win_and_sources_are_kept() -> None:
    config = Config()
    config.update({"server": {"max-connections": 7, "backlog": 5}}, "wsext.toml")
    config.set_section("server", {"max_connections": "9"}, "command line")
    assert config.section("server").max_connections == 9
    assert config.sources == {
        "server.max_connections": "command line",
        "server.backlog": "wsext.toml",
    }


def test_an_extension_is_turned_on_refined_and_turned_off() -> None:
    config = Config()
    config.set_extension("x", True, "a")
    config.set_extension("x", {"level": 1}, "b")
    config.set_extension("x", {"size": 2}, "c")
    assert config.extensions == {"x": {"level": 1, "size": 2}}
    assert config.sources == {
        "extensions.x": "c",
        "extensions.x.level": "b",
        "extensions.x.size": "c",
    }
    config.set_extension("x", False)
    assert config.extensions == {"x": None}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"websockets": {}}, "did you mean 'websocket'"),
        ({"server": 5}, "expected a table"),
        ({"extensions": {"x": 5}}, "extensions.x: expected a table"),
        ({"option_sets": [1]}, "expected a list of names"),
    ],
)
def test_a_table_of_another_form_is_an_error(table: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Config().update(table)


def test_option_sets_are_a_list_or_text_with_commas() -> None:
    config = Config()
    config.update({"option_sets": ["a", "b"]})
    config.update({"option_sets": "c, d,"})
    assert config.option_sets == ["a", "b", "c", "d"]
