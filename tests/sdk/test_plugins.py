"""Discovery: lazy, restricted before any import, every fault contained and named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from wsext import OptionError, PluginError
from wsext.sdk.plugins import Plugins, PluginStatus


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; modules that were imported from it are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


GOOD = """
    from wsext import Extension, NamedOptionSet, hookimpl
    class Good(Extension):
        '''Does nothing.'''
        name = "x-good"
"""


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "wsext")


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(dedent(text))


def test_listing_imports_nothing(module: Path) -> None:
    write(module, "plug_bomb", "raise SystemExit('imported')")
    plugins = Plugins(entries=[entry("x-bomb", "plug_bomb:Bomb")])
    (info,) = plugins.all()
    assert (info.name, info.status) == ("x-bomb", PluginStatus.ACTIVE)
    assert "x-bomb" in plugins
    assert "plug_bomb" not in sys.modules


def test_a_broken_plugin_is_named_and_skipped(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(module, "plug_good", GOOD)
    write(module, "plug_bad", "import does_not_exist_anywhere")
    plugins = Plugins(entries=[entry("x-bad", "plug_bad:Bad"), entry("x-good", "plug_good:Good")])
    assert list(plugins.extensions()) == ["x-good"]
    assert "x-bad" in caplog.text
    failed = next(info for info in plugins.all() if info.name == "x-bad")
    assert failed.status is PluginStatus.FAILED
    assert "does_not_exist_anywhere" in failed.reason
    with pytest.raises(PluginError, match="x-bad"):
        plugins.load("x-bad")


@pytest.mark.parametrize(
    "fault", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise RuntimeError('no')"]
)
def test_a_plugin_cannot_end_the_process_while_it_is_imported(
    fault: str, module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(module, "plug_good", GOOD)
    write(module, "plug_bomb", fault)
    entries = [entry("x-bomb", "plug_bomb:Bomb"), entry("x-good", "plug_good:Good")]
    assert list(Plugins(entries=entries).extensions()) == ["x-good"]
    assert "plugin 'x-bomb'" in caplog.text
    with pytest.raises(PluginError, match="x-bomb"):
        Plugins(entries=entries, strict=True).extensions()


@pytest.mark.parametrize(
    ("hook", "brought"),
    [
        ("wsext_extensions", "[5]"),
        ("wsext_extensions", "[object]"),
        ("wsext_extensions", "[Extension]"),
        ("wsext_extensions", "5"),
        ("wsext_extensions", "None"),
        ("wsext_extensions", "sys.exit()"),
        ("wsext_option_sets", "['low-memory']"),
    ],
)
def test_what_a_hook_brings_is_checked_and_breaks_no_other_plugin(
    hook: str, brought: str, module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(module, "plug_good", GOOD)
    write(
        module,
        "plug_odd",
        f"""
        import sys
        from wsext import Extension, hookimpl
        @hookimpl
        def {hook}():
            return {brought}
        """,
    )
    plugins = Plugins(entries=[entry("x-odd", "plug_odd"), entry("x-good", "plug_good:Good")])
    assert list(plugins.extensions()) == ["x-good"]
    assert plugins.option_sets() == {}
    assert "plugin 'x-odd'" in caplog.text


def test_strict_makes_a_broken_plugin_fatal(module: Path) -> None:
    write(module, "plug_bad", "raise RuntimeError('no')")
    plugins = Plugins(entries=[entry("x-bad", "plug_bad:Bad")], strict=True)
    with pytest.raises(PluginError, match=r"x-bad.*RuntimeError: no"):
        plugins.extensions()


def test_denied_plugins_are_never_imported(module: Path) -> None:
    write(module, "plug_bomb", "raise SystemExit('imported')")
    write(module, "plug_good", GOOD)
    entries = [entry("x-bomb", "plug_bomb:Bomb"), entry("x-good", "plug_good:Good")]
    for plugins in (
        Plugins(entries=entries, deny=["x-bomb"]),
        Plugins(entries=entries, allow=["x-good"]),
    ):
        assert list(plugins.extensions()) == ["x-good"]
        status = {info.name: info.status for info in plugins.all()}
        assert status["x-bomb"] is PluginStatus.DISABLED
        with pytest.raises(PluginError, match="disabled"):
            plugins.load("x-bomb")


@pytest.mark.parametrize(
    ("value", "active"),
    [("", set()), ("framelog", {"framelog"}), ("-framelog", {"permessage-deflate", "presets"})],
)
def test_the_environment_variable_restricts(
    value: str, active: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSEXT_PLUGINS", value)
    infos = Plugins.from_environment().all()
    ours = {"framelog", "permessage-deflate", "presets"}
    assert {i.name for i in infos if i.status == "active"} & ours == active


@pytest.mark.parametrize("field", ["allow", "deny"])
def test_a_name_that_no_plugin_has_is_refused(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry("x-good", "plug_good:Good")]
    with pytest.raises(
        OptionError, match=rf"plugins: {field}: .*'x-god'.* known: x-good \(did you"
    ):
        Plugins(entries=entries, **{field: ["x-god"]})  # type: ignore[arg-type]
    name = "framlog" if field == "allow" else "-framlog"
    monkeypatch.setenv("WSEXT_PLUGINS", f"permessage-deflate, {name}")
    with pytest.raises(OptionError, match=r"WSEXT_PLUGINS: no plugin 'framlog'.*'framelog'\?"):
        Plugins.from_environment()


def test_a_later_version_of_the_hooks_is_incompatible(module: Path) -> None:
    write(module, "plug_new", "wsext_api_version = 99\ndef wsext_extensions(): return []")
    plugins = Plugins(entries=[entry("new", "plug_new")])
    with pytest.raises(PluginError, match="version 99"):
        plugins.load("new")
    assert plugins.all()[0].status is PluginStatus.INCOMPATIBLE


def test_the_second_of_a_name_is_shadowed() -> None:
    plugins = Plugins(entries=[entry("x-a", "one:A"), entry("x-a", "two:A")])
    assert [info.status for info in plugins.all()] == ["active", "shadowed"]


def test_one_plugin_may_bring_several_extensions_and_option_sets(module: Path) -> None:
    write(
        module,
        "plug_many",
        """
        from wsext import Extension, NamedOptionSet, hookimpl
        class One(Extension):
            name = "x-one"
        class Two(Extension):
            name = "x-two"
        @hookimpl
        def wsext_extensions(): return [One, Two]
        @hookimpl
        def wsext_option_sets(): return [NamedOptionSet("tiny", "small", {"x-one": {}})]
        """,
    )
    plugins = Plugins(entries=[entry("many", "plug_many")])
    assert plugins.extension("x-two").name == "x-two"
    assert plugins.option_set("tiny").description == "small"
    with pytest.raises(PluginError, match="did you mean 'tiny'"):
        plugins.option_set("tinny")


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(PluginError, match="did you mean 'permessage-deflate'"):
        Plugins().extension("permesage-deflate")
