"""Exceptions: one tree, drawn as it is, and sentences that say what happened."""

from __future__ import annotations

import re

import pytest

import wsext
from wsext import CloseInfo, OptionError, PluginError, RouteError, errors


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    there = {
        name: value.__mro__[1].__name__
        for name in errors.__all__
        if isinstance(value := getattr(errors, name), type) and issubclass(value, Exception)
    }
    assert drawn == there
    assert set(there) <= set(wsext.__all__)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OptionError("server", "port", "too large"), "server: port: too large"),
        (OptionError("x", None, "wrong", "y"), "x: wrong (did you mean 'y'?)"),
        (RouteError("/<a>", "no handler"), "route /<a>: no handler"),
        (PluginError("x", "broken", "wsext-x"), "plugin 'x' (from wsext-x): broken"),
    ],
)
def test_the_sentence_is_made_of_attributes(error: Exception, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("info", "code", "ok", "text"),
    [
        (CloseInfo(), 1006, False, "no close frame sent or received (1006)"),
        (CloseInfo((1000, ""), (1000, "bye"), True), 1000, True, "sent 1000; received 1000 (bye)"),
        (CloseInfo((1001, ""), (1000, ""), True, None, True), 1001, True, None),
        (CloseInfo((1002, ""), (1000, ""), True, None, True), 1002, False, None),
        (CloseInfo(None, (1005, "")), 1005, False, "received 1005"),
        (CloseInfo(None, (4000, "\x1b[2J")), 4000, False, "received 4000 (\\x1b[2J)"),
        (CloseInfo(exception=OSError("gone")), 1006, False, None),
    ],
)
def test_the_end_of_a_session(info: CloseInfo, code: int, ok: bool, text: str | None) -> None:
    assert (info.code, info.ok) == (code, ok)
    assert text is None or str(info) == text


def test_a_copy_without_tracebacks_ends_where_causes_form_a_ring() -> None:
    first, second = wsext.RemoteProtocolError(1002, "first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    bare = first.bare_copy()
    assert (bare.code, bare.reason, bare.__cause__) == (1002, "first", second)
