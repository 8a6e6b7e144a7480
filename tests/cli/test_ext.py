"""``wsext ext``: lists from metadata, shows every option."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.invoking import invoke
from tests.e2e.processes import wsext
from tests.fake import write_metadata


def test_list_as_json() -> None:
    listed = {item["name"]: item for item in json.loads(invoke("list", "--json").stdout)}
    assert listed["permessage-deflate"]["distribution"] == "wsext-deflate"
    assert listed["permessage-deflate"]["status"] == "active"
    assert listed["framelog"]["distribution"] == "wsext-framelog"


def test_list_for_people() -> None:
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "DISTRIBUTION", "VERSION", "STATUS"]
    assert any(line.split()[:2] == ["permessage-deflate", "wsext-deflate"] for line in lines)


def test_listing_imports_no_plugin() -> None:
    code = (  # in this process; another one finds out which are off
        "import sys; from wsext.cli import main\n"
        "try: main(['ext', 'list'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('wsext_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_says_why_something_is_off_and_outlives_every_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_exit.py").write_text("import os; os._exit(0)\n")
    write_metadata(tmp_path, "keyed", {"x-keyed": "tests.extensions:Keyed"})
    write_metadata(tmp_path, "exits", {"x-exits": "plug_exit:X"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WSEXT_PLUGINS", "x-keyed")
    line = next(row for row in invoke("list").stdout.splitlines() if "x-k" in row)
    assert line.split()[:4] == ["x-keyed", "keyed", "1.0", "off"]
    assert "keys: is required: a callable (where keys come from); only code can set it" in line

    monkeypatch.setenv("WSEXT_PLUGINS", "x-keyed,x-exits")
    done = invoke("list")
    assert "the plugins cannot be loaded; try wsext ext doctor" in done.output
    assert "x-exits" in done.stdout


@pytest.mark.parametrize("how", ["environment", "file"])
def test_a_disabled_plugin_is_listed_as_such(how: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "WSEXT_PLUGINS"}
    if how == "environment":
        env["WSEXT_PLUGINS"] = "-framelog"
    else:
        (tmp_path / "wsext.toml").write_text('[plugins]\ndeny = ["framelog"]\n')
    done = wsext("ext", "list", "--json", cwd=tmp_path, env=env)
    status = {item["name"]: item["status"] for item in json.loads(done.stdout)}
    assert status["framelog"] == "disabled"
    assert status["permessage-deflate"] == "active"


def test_show_names_every_option_with_its_scope() -> None:
    text = invoke("show", "permessage-deflate").stdout
    for words in ("RSV1", "COMPRESSION", "wsext-deflate", "KiB per connection"):
        assert words in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "local" in rows["level"]
    assert "0 to 9" in rows["level"]
    assert "wire" in rows["server_max_window_bits"]

    shown = json.loads(invoke("show", "permessage-deflate", "--json").stdout)
    assert shown["rsv"] == "RSV1"
    assert shown["memory_estimate"] > 10_000
    options = {field["name"]: field for field in shown["options"]}
    assert options["level"]["default"] == 6
    assert options["level"]["wire"] is None
    assert options["level"]["scope"] == "local"
    assert options["client_no_context_takeover"]["wire"] == "client_no_context_takeover"


#: A sealed extension: its base declares a parameter, too.
SEALED = """
from typing import Annotated
from wsext import OptionSet, SealedExtension, wire
class MineOptions(OptionSet):
    edition: Annotated[int, wire("of the format", name="version", direction="answer")] = 1
class Mine(SealedExtension):
    name = "x-mine"
    Options = MineOptions
    extra_wire_params = ["plain"]
"""


def test_every_wire_parameter_of_what_is_here_is_described() -> None:
    listed = json.loads(invoke("list", "--json").stdout)
    names = [item["name"] for item in listed if item["distribution"].startswith("wsext-")]
    assert "permessage-checksum" in names
    for name in names:
        shown = json.loads(invoke("show", name, "--json").stdout)
        bare = [item["name"] for item in shown.get("wire_params", ()) if not item["description"]]
        assert not bare, f"{name}: {bare}"


def test_show_lists_every_wire_parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = json.loads(invoke("show", "permessage-zstd", "--json").stdout)
    params = {param["name"]: param for param in shown["wire_params"]}
    assert params["max_window_bits"] == {
        "name": "max_window_bits",
        "option": "max_window_bits",
        "type": "int",
        "default": 17,
        "range": "10 to 24",
        "direction": "offer, answer",
        "description": "largest window in either direction, as a power of two",
    }
    assert params["client_no_context_takeover"]["type"] == "flag"
    assert (params["dict"]["option"], params["dict"]["type"]) == (None, "str")
    entries = {"x-mine": "plug_mine:Mine"}
    (tmp_path / "plug_mine.py").write_text(SEALED)
    write_metadata(tmp_path, "mine", entries)
    monkeypatch.syspath_prepend(tmp_path)
    shown = json.loads(invoke("show", "x-mine", "--json").stdout)
    assert [(item["name"], item["type"]) for item in shown["wire_params"]] == [
        ("version", "int"),
        ("nonce", "str"),
        ("plain", ""),
    ]
    assert shown["wire_params"][0]["direction"] == "answer"
    text = invoke("show", "permessage-zstd").stdout
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "wire: offer, answer" in rows["max_window_bits"]
    assert "wire only: offer, answer" in rows["dict"]


def test_show_says_what_only_code_sets_and_why_it_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_metadata(tmp_path, "keyed", {"x-keyed": "tests.extensions:Keyed"})
    monkeypatch.syspath_prepend(tmp_path)
    text = invoke("show", "x-keyed").stdout
    assert "off     keys: is required" in text
    assert "to turn it on: install('x-keyed', keys=...) in the app" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("keys"))
    assert row == ["keys", "callable", "(required)", "code", "where", "keys", "come", "from"]


def test_show_an_interceptor_an_option_set_and_a_plugin() -> None:
    assert "local interceptor" in invoke("show", "framelog").stdout
    shown = invoke("show", "low-memory").stdout
    assert "server_max_window_bits = 10" in shown
    assert "KiB per connection" in shown
    assert "low-latency" in invoke("show", "presets").stdout


def test_show_of_an_unknown_name_is_one_line() -> None:
    done = wsext("ext", "show", "permesage-deflate")
    assert done.returncode == 2
    assert (
        "'permesage-deflate': no such extension or option set is installed; known: " in done.stderr
    )
    assert done.stderr.endswith("(did you mean 'permessage-deflate'?)\n")
    assert done.stderr.count("\n") == 1
