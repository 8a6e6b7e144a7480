"""What an entry point names is refused with a sentence, if it is no plugin."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from wsext import Codec, Extension, hookimpl
from wsext.sdk.usable import check_plugin


class Odd(Extension):
    name = "x-odd"


class Nameless(Extension):
    """Others may be derived from it."""


class Plain:
    """No plugin."""


class WrongArgument:
    @hookimpl
    def wsext_session_opened(self, sessoin: Any) -> None: ...


class Typo:
    @hookimpl
    def wsext_option_sets(self) -> list[Any]:
        return []

    def wsext_sesion_opened(self, session: Any) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        (Odd(), r"names an object: name its class, tests\.sdk\.test_usable:Odd"),
        (Codec, r"names a codec: name the Extension whose make_codec\(\) gives it"),
        (Codec(), r"names a codec"),
        (Plain, r"Plain.*which is no Extension or Interceptor class and has no hook"),
        (5, r"names 5, which is no Extension"),
        (Nameless, r"Nameless\.name is None: write a text"),
        (Odd, r"the extension's, which is 'x-odd': name the entry point so"),
        (ModuleType("empty"), r"has no hook implementation"),
        (WrongArgument(), r"sessoin"),
    ],
)
def test_what_is_no_plugin_says_what_to_name(plugin: Any, sentence: str) -> None:
    with pytest.raises(Exception, match=sentence):
        check_plugin("x-other", plugin)


def test_unknown_hooks_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    check_plugin("typo", Typo())
    assert "wsext_sesion_opened" in caplog.text
