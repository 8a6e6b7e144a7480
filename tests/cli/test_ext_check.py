"""``wsext ext check``: the conformance kit on what is installed, with a report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.fake import write_metadata
from wsext.cli.ext_check import check
from wsext.testing.mutation import try_changes


def run(*args: str) -> Result:
    return CliRunner().invoke(check, args)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Install what a text defines: the body of its class, and what stands before it."""

    def write(name: str, body: str, before: str = "", base: str = "Extension") -> None:
        module = f"plug_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(
            f"from wsext import *\n{before}\nclass Wrong({base}):\n    name = {name!r}\n{body}\n"
        )
        write_metadata(tmp_path, f"dist-{name}", {name: f"{module}:Wrong"})
        request.addfinalizer(lambda: sys.modules.pop(module, None))

    monkeypatch.syspath_prepend(tmp_path)
    return write


@pytest.mark.parametrize(
    "name",
    [
        "capture",
        "framelog",
        "permessage-brotli",
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
def test_what_is_here_conforms(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    monkeypatch.delenv("WSEXT_PLUGINS", raising=False)
    done = run(name, "--examples", "4")
    assert done.exit_code == 0, done.output
    assert f"{name} conforms" in done.output


def test_a_report_says_what_is_wrong(install: Any) -> None:
    install("x-bad", "    def make_codec(self, params, ctx): return Codec()\n")
    done = run("x-bad", "--examples", "5")
    assert done.exit_code == 1
    assert "x-bad does not conform" in done.output
    assert "FAIL  The class and every option have a description" in done.output
    assert "Wrong has no docstring" in done.output
    assert "(test_it_is_described)" in done.output
    assert "dist-x-bad does not depend on wsext" in done.output


def test_a_report_can_be_json(install: Any) -> None:
    install("bad", "    pass\n", base="Interceptor")
    report = json.loads(run("bad", "--json").stdout)
    outcomes = {item["name"]: item["outcome"] for item in report["cases"]}
    assert outcomes["test_it_is_described"] == "failed"
    assert outcomes["test_name_is_a_token"] == "passed"
    assert not report["passed"]


def test_a_failure_shows_where_messages_differ_and_nothing_else(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (
        "class C(MessageCodec):\n    def decode_message(self, data, budget): return data[:70]\n"
    )
    install("x-cuts", "    'Cuts.'\n    make_codec = lambda self, params, ctx: C()\n", before)
    done = run("x-cuts")
    assert done.exit_code == 1
    assert "2048 bytes were sent and 70 came; they differ first at offset 70: sent …" in done.output
    assert "Falsifying" not in done.output
    assert "ypothesis" not in done.output
    assert not (tmp_path / ".hypothesis").exists()
    assert "Traceback" not in done.output + done.stderr


def test_conformance_with_a_name_that_there_is_not_is_refused(install: Any) -> None:
    install("x-typo", "    'A typo.'\n    conformance = {'detect_corruption': True}\n")
    done = run("x-typo")
    assert done.exit_code != 0
    assert "detect_corruption" in done.stderr + str(done.exception)
    assert "did you mean 'detects_corruption'" in done.stderr + str(done.exception)


WEAK = """
    __doc__ = "Looks at frames."

    @hookimpl
    def wsext_frame_sending(self, frame):
        if len(frame.payload) > 5000:
            return frame.replace(payload=bytes(frame.payload)[:])
        return frame.replace(payload=frame.payload + b"!"[:0])
"""


def test_changes_that_no_case_notices_are_shown_with_their_lines(install: Any) -> None:
    install("weak", WEAK, base="Interceptor")
    done = run("weak", "--mutate")
    assert done.exit_code == 1, done.output
    assert "plug_weak.py:10\n" in done.output
    assert "-        if len(frame.payload) > 5000:" in done.output
    assert "+        if len(frame.payload) > 5001:" in done.output
    assert "[:1]" not in done.output, "that one is noticed"
    assert "changes of the code were noticed by the kit, " in done.output


LARGE = """
    __doc__ = "Marks large frames."

    @hookimpl
    def wsext_frame_sending(self, frame):
        return frame.replace(meta={"large": True}) if len(frame.payload) > 5000 else None
"""

OWN_TEST = """
from plug_tried import Wrong
from wsext import Frame

def test_large_frames_are_marked():
    for size, meta in ((5001, {"large": True}), (5000, None)):
        marked = Wrong().wsext_frame_sending(Frame(2, bytes(size)))
        assert (marked and marked.meta) == meta
"""


def test_the_package_s_own_tests_are_asked_too(install: Any, tmp_path: Path) -> None:
    install("tried", LARGE, base="Interceptor")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-n 2"\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tried.py").write_text(OWN_TEST)
    done = run("tried", "--mutate", "--examples", "1")
    assert f"noticed by the kit and {tmp_path / 'tests'}, 0 were not" in done.output
    assert done.exit_code == 0, done.output


def test_changes_for_which_there_was_no_time_are_counted(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("slow", WEAK, base="Interceptor")
    no_time = lambda kind, attributes, seconds, tests: try_changes(kind, attributes, 0)  # noqa: E731
    monkeypatch.setattr("wsext.testing.mutation.try_changes", no_time)
    assert "7 were not tried in time (--time-limit)" in run("slow", "--mutate").output
    report = json.loads(run("slow", "--mutate", "--json").stdout)
    assert report["passed"]
    assert {change["verdict"] for change in report["changes"]} == {None}


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wsext.testing.mutation", None)
    done = run("permessage-deflate", "--mutate")
    assert done.exit_code == 1
    assert "pip install 'wsext[mutate]'" in done.stderr
