"""``wsext ext check``: the conformance kit on what is installed, with a report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.processes import wsext
from tests.fake import write_metadata


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An environment with an extension that nobody has described: no example has to be found."""
    (tmp_path / "plug_bad.py").write_text(
        "from wsext import Codec, Extension\n"
        "class Bad(Extension):\n"
        "    name = 'x-bad'\n"
        "    def make_codec(self, params, ctx): return Codec()\n"
    )
    write_metadata(tmp_path, "broken", {"x-bad": "plug_bad:Bad"})
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    "name",
    [
        "capture",
        "framelog",
        "permessage-checksum",
        "permessage-deflate",
        "permessage-fragment",
        "permessage-meta",
        "permessage-zstd",
        "presets",
        "ratelimit",
        "trace",
        "zstd-commands",
    ],
)
def test_what_is_here_conforms(name: str, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "WSEXT_PLUGINS"}
    done = wsext("ext", "check", name, "--examples", "4", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{name} conforms" in done.stdout


def test_a_report_says_what_is_wrong(broken: dict[str, str]) -> None:
    done = wsext("ext", "check", "x-bad", "--examples", "5", env=broken)
    assert done.returncode == 1
    assert "x-bad does not conform" in done.stdout
    assert "FAIL  The class and every option have a description" in done.stdout
    assert "Bad has no docstring" in done.stdout
    assert "(test_it_is_described)" in done.stdout
    assert "broken does not depend on wsext" in done.stdout
    report = json.loads(
        wsext("ext", "check", "x-bad", "--examples", "5", "--json", env=broken).stdout
    )
    outcomes = {item["name"]: item["outcome"] for item in report["cases"]}
    assert outcomes["test_it_is_described"] == "failed"
    assert outcomes["test_messages_round_trip"] == "passed"
    assert not report["passed"]
