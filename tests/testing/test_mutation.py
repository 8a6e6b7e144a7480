"""Changes of an extension's code, and what the kit says of each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wsext.testing.mutation import Reaction, changes_of, modules_of, try_changes

HOOK = '''
from __future__ import annotations

from wsext import Interceptor, hookimpl

LIMIT = 3 + 4


class Turning(Interceptor):
    """Turns and turns."""

    name = "turning"

    @hookimpl
    def wsext_frame_sending(self, frame: bytes | None) -> None:
        left = 3
        while left > 0:
            left -= 1
        return frame if left < 0 else None
'''


@pytest.fixture
def turning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    package = tmp_path / "kit_turning"
    package.mkdir()
    (package / "__init__.py").write_text("from kit_turning.hook import Turning\n")
    (package / "hook.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    import kit_turning  # type: ignore[import-not-found]

    yield kit_turning.Turning
    for name in ("kit_turning", "kit_turning.hook"):
        del sys.modules[name]


def test_only_the_bodies_of_functions_are_changed(turning: Any) -> None:
    assert modules_of(turning) == ["kit_turning.hook"]
    lines = {change.line for change in changes_of("kit_turning.hook")}
    assert lines == {16, 17, 18, 19}, "neither the constant nor the annotation"
    diffs = [change.diff for change in changes_of("kit_turning.hook")]
    assert "-            left -= 1\n+            left -= 2" in diffs


def test_a_module_without_source_is_named() -> None:
    with pytest.raises(OSError, match="zlib has no source"):
        next(changes_of("zlib"))


def test_what_changes_nothing_is_missed_and_what_never_ends_is_ended(
    turning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsext.testing.mutation.PATIENCE", 0.5)
    verdicts: dict[str, Reaction | None] = {}
    for change, verdict in try_changes(turning, {"examples": 1}, 60):
        verdicts[change.diff.rpartition("\n")[2].strip("+ ")] = verdict
    assert verdicts["left -= 0"] is Reaction.ENDLESS
    assert verdicts["left = 4"] is Reaction.MISSED
    assert verdicts["return frame if left < 1 else None"] is Reaction.MISSED
    assert None not in verdicts.values()
