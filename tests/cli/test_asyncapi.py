"""``wsext asyncapi``: the document of an app, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.e2e.processes import wsext

ROOT = Path(__file__).parents[2]


def test_the_command_writes_json_and_yaml(tmp_path: Path) -> None:
    where = ("typed_orders:app", "--app-dir", str(ROOT / "examples"), "--title", "Orders")
    for name in ("api.json", "api.yaml"):
        done = wsext("asyncapi", *where, "--output", str(tmp_path / name))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    read = json.loads((tmp_path / "api.json").read_text())
    assert read["info"]["title"] == "Orders"
    assert msgspec.yaml.decode((tmp_path / "api.yaml").read_text()) == read


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["typed_orders:ap"], 2, "typed_orders has no 'ap'; its apps: app (did you mean 'app'?)"),
        (["fastapi_app:app"], 2, "fastapi_app:app is an ASGI app, and the routes of an App"),
        (["typed_orders:app", "--server", "x"], 2, "asyncapi: server: expected ws://host"),
        (["typed_orders:app", "--output", "/nowhere/x"], 1, "cannot write /nowhere/x"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], code: int, text: str) -> None:
    done = wsext("asyncapi", *arguments, "--app-dir", str(ROOT / "examples"))
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
