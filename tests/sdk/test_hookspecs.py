"""The hooks, as plugins are written against them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pluggy
import pytest

from wsext import hookimpl
from wsext.sdk import hookspecs

SPECS = {
    name: function
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
    if name.startswith("wsext_")
}


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("wsext")
    manager.add_hookspecs(hookspecs)
    return manager


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_says_what_it_is_for(name: str) -> None:
    docstring = inspect.getdoc(SPECS[name]) or ""
    assert docstring.partition("\n")[0].endswith((".", ":")) or len(docstring) > 20
    assert all(
        parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        for parameter in inspect.signature(SPECS[name]).parameters.values()
    )


@pytest.mark.parametrize("name", SPECS)
def test_a_plugin_may_leave_arguments_out(name: str, manager: pluggy.PluginManager) -> None:
    called: list[str] = []
    implementation: Callable[[], None] = lambda: called.append(name)  # noqa: E731
    manager.register(type("Plugin", (), {name: staticmethod(hookimpl(implementation))})())
    arguments = dict.fromkeys(inspect.signature(SPECS[name]).parameters)
    getattr(manager.hook, name)(**arguments)
    assert called == [name]


@pytest.mark.parametrize("name", ["wsext_handshake", "wsext_negotiate", "wsext_not_ready"])
def test_the_first_answer_decides_where_only_one_can_hold(
    name: str, manager: pluggy.PluginManager
) -> None:
    answers: list[Any] = [None, "decided", "never asked"]
    asked: list[Any] = []

    def plugin(answer: Any) -> Any:
        def implementation() -> Any:
            asked.append(answer)
            return answer

        return type("Plugin", (), {name: staticmethod(hookimpl(implementation))})()

    for answer in reversed(answers):  # pluggy asks the newest plugin first
        manager.register(plugin(answer))
    arguments = dict.fromkeys(inspect.signature(SPECS[name]).parameters)
    assert getattr(manager.hook, name)(**arguments) == "decided"
    assert asked == [None, "decided"]


def test_an_argument_that_there_is_not_is_refused(manager: pluggy.PluginManager) -> None:
    def wrong(self: Any, session: Any, reason: str) -> None: ...

    plugin = type("Plugin", (), {"wsext_session_opened": hookimpl(wrong)})()
    with pytest.raises(pluggy.PluginValidationError, match="reason"):
        manager.register(plugin)
