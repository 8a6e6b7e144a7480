"""Peers from other languages: built where their tools are, left out with a reason elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_benchmarks import BENCHMARKS

NAMES = sorted(path.name for path in (BENCHMARKS / "peers").iterdir())


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with nothing built."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import recipes

    monkeypatch.setattr(recipes, "BUILT", tmp_path / "built")
    return recipes


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A command named go, the only one there is; the test writes what it does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    path = folder / "go"
    path.touch(0o755)
    return path


def test_every_folder_of_sources_has_a_recipe(recipes: ModuleType) -> None:
    assert sorted(recipes.RECIPES) == NAMES


def test_every_manifest_pins_a_version(recipes: ModuleType, tool: Path) -> None:
    for name in NAMES:
        (recipes.BUILT / name).mkdir(parents=True)
        (recipes.BUILT / name / recipes.MARK).touch()
    tool.write_text("#!/bin/sh\necho go version go1.2.3 linux")
    *peers, language = recipes.versions()
    assert language == "go 1.2.3"
    assert sorted(peer.partition(" ")[0] for peer in peers) == NAMES
    for peer in peers:
        assert re.fullmatch(r"\w+ \d+\.\d+\.\d+", peer)


def test_without_its_tool_a_peer_is_left_out(recipes: ModuleType, tool: Path) -> None:
    tool.unlink()
    with pytest.raises(recipes.Unavailable, match=r"^go is not installed$"):
        recipes.command("gorilla")


def test_a_build_that_fails_says_why(recipes: ModuleType, tool: Path) -> None:
    tool.write_text("#!/bin/sh\necho looking\necho 'main.go:1: error: no such module' >&2\nexit 1")
    with pytest.raises(
        recipes.Unavailable, match=r"^go build -o peer \.: main.go:1: error: no such"
    ):
        recipes.command("gorilla")


def test_what_has_been_built_is_not_built_again(recipes: ModuleType, tool: Path) -> None:
    tool.write_text("#!/bin/sh\necho built >> log")
    folder = recipes.BUILT / "gorilla"
    assert recipes.command("gorilla") == [f"{folder}/peer"]
    assert recipes.command("gorilla") == [f"{folder}/peer"]
    assert (folder / "log").read_text() == "built\n"
    assert (folder / "main.go").exists()
