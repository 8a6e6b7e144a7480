"""Apps by name: objects, functions that make one, and what is said when there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wsext import App, OptionError
from wsext.cli.loading import load_app

TEXT = """
from wsext import App
app = App()
class inner:
    app = App()
def make():
    return App()
number = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "loaded_app.py").write_text(TEXT)
    (tmp_path / "broken_app.py").write_text("import not_there_at_all\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("loaded_app", "broken_app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return str(tmp_path)


@pytest.mark.parametrize("name", ["app", "inner.app", "make"])
def test_an_app_or_what_makes_one(name: str, folder: str) -> None:
    assert isinstance(load_app(f"loaded_app:{name}", folder), App)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loaded_app", "expected module:name"),
        ("loaded_app.py", "did you mean 'loaded_app:app'"),
        ("nothing_app:app", "no module named 'nothing_app'"),
        ("loaded_app:ap", "did you mean 'app'"),
        ("loaded_app:number", "is a int, not an App"),
    ],
)
def test_what_is_wrong_is_said(name: str, words: str, folder: str) -> None:
    with pytest.raises(OptionError, match=words):
        load_app(name, folder)


def test_what_an_app_fails_to_import_is_no_error_of_the_name(folder: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        load_app("broken_app:app", folder)
