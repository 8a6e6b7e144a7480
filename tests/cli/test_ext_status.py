"""What is said of plugins that cannot be used as they are, and of those that are broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from tests.extensions import Append, Keyed, Shy
from wsext.cli.ext_status import examine, how_to_configure
from wsext.sdk.plugins import PluginInfo, Plugins, PluginStatus

#: Plugins by fault: their code, what the entry point names, and what has to be said.
FAULTS = {
    "x-setup": ("def setup(self): raise RuntimeError('no luck')", "X", "setup() failed: Runtime"),
    "x-exits": ("def setup(self): raise SystemExit('bye')", "X", "SystemExit: bye"),
    "x-instance": ("", "X()", "names an object: name its class"),
    "x-codec": ("", "C", "name the Extension whose make_codec() gives it"),
    "x-plain": ("", "Plain", "no Extension or Interceptor class"),
    "x-nothing": ("", "nothing", "has no attribute 'nothing'"),
    "x name": ("", "X", "'x name'"),
    "x-phase": ("phase = 'compression'", "X", "Phase.COMPRESSION"),
    "x-bits": ("rsv = 2", "X", "RSV"),
    "x-import": ("raise SystemExit('at import')", "X", "calls sys.exit('at import')"),
    "x-other": ("name = 'x-another'", "X", "the entry point's name is not the extension's"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; modules that were imported from it are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fault_")]:
        del sys.modules[name]


def write_plugin(folder: Path, token: str, body: str, target: str) -> EntryPoint:
    """A module with an extension, a codec and a plain class, and an entry point to one of them."""
    module = f"fault_{token.replace('-', '_').replace(' ', '_')}"
    text = f"""
        from wsext import RSV, Codec, Extension, Phase
        class C(Codec): pass
        class Plain: pass
        class X(Extension):
            name = {token!r}
            {body or "pass"}
        made = {target if target.endswith(")") else None}
    """
    (folder / f"{module}.py").write_text(dedent(text))
    return EntryPoint(token, f"{module}:{'made' if target.endswith(')') else target}", "wsext")


def examined(entries: list[EntryPoint], *configured: str) -> dict[str, PluginInfo]:
    return {info.name: info for info in examine(Plugins(entries=entries), configured)}


@pytest.mark.parametrize("token", FAULTS)
def test_every_fault_is_found_and_said(token: str, folder: Path) -> None:
    body, target, words = FAULTS[token]
    info = examined([write_plugin(folder, token, body, target)])[token]
    assert info.status is PluginStatus.FAILED
    assert words in info.reason


def test_a_fault_breaks_no_other_plugin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [write_plugin(folder, name, body, to) for name, (body, to, _) in FAULTS.items()]
    entries.append(write_plugin(folder, "x-talks", "print('hello')", "X"))
    found = examined(entries)
    assert {info.status for name, info in found.items() if name in FAULTS} == {PluginStatus.FAILED}
    assert found["x-talks"].status is PluginStatus.ACTIVE
    assert capsys.readouterr().out == ""  # what a plugin prints is no part of a result


def test_what_has_to_be_configured_is_off_and_says_why(folder: Path) -> None:
    (folder / "fault_many.py").write_text(
        "from tests.extensions import Append, Keyed\n"
        "from wsext import hookimpl\n"
        "@hookimpl\n"
        "def wsext_extensions(): return [Append, Keyed]\n"
    )
    entries = [
        EntryPoint("x-append", "tests.extensions:Append", "wsext"),
        EntryPoint("x-keyed", "tests.extensions:Keyed", "wsext"),
        EntryPoint("x-shy", "tests.extensions:Shy", "wsext"),
        EntryPoint("many", "fault_many", "wsext"),
    ]
    found = examined(entries)
    assert {name: info.status.value for name, info in found.items()} == {
        "x-append": "active",
        "x-keyed": "off",
        "x-shy": "off",
        "many": "active",
    }
    assert found["x-keyed"].reason.startswith(
        "keys: is required: a callable (where keys come from)"
    )
    assert found["x-shy"].reason == "its class says that it has to be configured"
    assert found["many"].reason.startswith("x-keyed is off: keys: is required")
    assert examined(entries, "x-keyed", "x-shy")["x-shy"].status is PluginStatus.ACTIVE


def test_how_to_configure() -> None:
    assert how_to_configure(Keyed) == "install('x-keyed', keys=...) in the app"
    assert how_to_configure(Shy) == (
        "wsext serve --ext x-shy, [extensions.x-shy] in wsext.toml, or install('x-shy') in the app"
    )
    assert "--ext x-append," in how_to_configure(Append)
