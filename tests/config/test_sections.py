"""Sections: which options there are, and which go together."""

from __future__ import annotations

import pytest

from wsext import OptionError
from wsext.config.sections import SECTIONS, ServeOptions, dotted_names, unknown_section


def test_every_option_has_a_dotted_name() -> None:
    names = dotted_names()
    assert len(names) == len(set(names))
    assert {name.partition(".")[0] for name in names} == set(SECTIONS)
    assert {"serve.port", "server.max_connections", "websocket.close_timeout"} <= set(names)


def test_the_inspector_shows_one_process_only() -> None:
    assert ServeOptions(workers=1).supervised
    assert ServeOptions(reload=True).supervised
    assert not ServeOptions(inspect=True).supervised
    with pytest.raises(OptionError, match="inspect: shows one process"):
        ServeOptions(workers=2, inspect=True)
    assert ServeOptions(workers=2, inspect=True, admin_port=0).inspect


def test_the_nearest_section_is_suggested() -> None:
    assert "did you mean 'websocket'?" in str(unknown_section("websockets"))
