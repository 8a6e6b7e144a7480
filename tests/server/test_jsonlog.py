"""Every record is one line of JSON, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from wsext.server.jsonlog import JSONFormatter


def written(message: str, *args: Any, **how: Any) -> dict[str, Any]:
    record = logging.getLogger("x").makeRecord(
        "x", logging.WARNING, __file__, 1, message, args, how.pop("exc_info", None), **how
    )
    line = JSONFormatter().format(record)
    assert line.isprintable()
    fields: dict[str, Any] = json.loads(line)
    return fields


def test_what_every_record_has_and_what_is_said_beside_it() -> None:
    fields = written("hello %s", "é", extra={"order": 5, "fields": {"path": "/"}})
    assert fields.pop("time").endswith("+00:00")
    assert isinstance(fields.pop("process"), int)
    assert fields == {
        "level": "warning",
        "logger": "x",
        "message": "hello é",
        "order": 5,
        "path": "/",
    }


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        ({"what": {1, "a"}.__class__}, {"what": "<class 'set'>"}),
        ({"what": {"deep": "\ud800"}}, {"what": "{'deep': '\\ud800'}"}),
        ({"what": "\x1b\u202e\ud800"}, {"what": "\\x1b\\u202e\\ud800"}),
        ({"fields": 3}, {"fields": 3}),
        ({"fields": {"level": "forged", "time": 1}}, {"level": "warning"}),
    ],
)
def test_what_json_has_not_is_text_and_nothing_is_forged(
    extra: dict[str, Any], shown: dict[str, Any]
) -> None:
    fields = written("hello", extra=extra)
    assert {name: fields[name] for name in shown} == shown


def test_arguments_that_do_not_fit() -> None:
    assert written("%d of %d", "x")["message"] == "%d of %d ('x',)"


def test_a_traceback_and_a_stack() -> None:
    try:
        raise ValueError("bad\x1b")
    except ValueError:
        fields = written("failed", exc_info=sys.exc_info(), sinfo="here\nthere")
    assert fields["exception"].startswith("Traceback (most recent call last):\n")
    assert fields["exception"].endswith("ValueError: bad\\x1b")
    assert fields["stack"] == "here\nthere"
