"""What a reload cannot change is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from wsext.cli.reloading import warn_of_changes
from wsext.config.configuration import Config

FILE = '[serve]\nport = 81\nlog_level = "debug"\n[server]\nbacklog = 7\n'
TABLES: Mapping[str, Any] = {
    "serve": {"port": 81, "log_level": "debug"},
    "server": {"backlog": 7},
}


def test_each_option_that_stays_as_it_was_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    before, after = Config(), Config()
    before.set_section("serve", {"workers": "2"}, "command line", "--workers")
    after.update(TABLES, "wsext.toml", FILE)
    with caplog.at_level(logging.WARNING, "wsext"):
        warn_of_changes(before, lambda: after)
        warn_of_changes(after, lambda: after)
    assert [record.getMessage() for record in caplog.records] == [
        "a reload cannot change serve.port from 8765 to 81 (source: wsext.toml, line 2):"
        " restart for that",
        "a reload cannot change serve.workers from 2 to none (source: command line, --workers):"
        " restart for that",
        "a reload cannot change server.backlog from 1024 to 7 (source: wsext.toml, line 5):"
        " restart for that",
    ]


def test_what_is_wrong_is_left_to_the_new_workers(caplog: pytest.LogCaptureFixture) -> None:
    after = Config()
    after.update({"serve": {"port": "web"}}, "wsext.toml")
    warn_of_changes(Config(), lambda: after)
    assert not caplog.records
