"""``wsext ext``: lists from metadata, shows every option."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.processes import wsext


def test_list_as_json() -> None:
    listed = {item["name"]: item for item in json.loads(wsext("ext", "list", "--json").stdout)}
    assert listed["permessage-deflate"]["distribution"] == "wsext-deflate"
    assert listed["permessage-deflate"]["status"] == "active"
    assert listed["framelog"]["distribution"] == "wsext-framelog"


def test_list_for_people() -> None:
    lines = wsext("ext", "list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "DISTRIBUTION", "VERSION", "STATUS"]
    assert any(line.split()[:2] == ["permessage-deflate", "wsext-deflate"] for line in lines)


def test_listing_imports_no_plugin() -> None:
    code = (
        "import sys; from wsext.cli import main\n"
        "try: main(['ext', 'list'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('wsext_')])"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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
    text = wsext("ext", "show", "permessage-deflate").stdout
    for words in ("RSV1", "COMPRESSION", "wsext-deflate", "KiB per connection"):
        assert words in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "local" in rows["level"]
    assert "0 to 9" in rows["level"]
    assert "wire" in rows["server_max_window_bits"]

    shown = json.loads(wsext("ext", "show", "permessage-deflate", "--json").stdout)
    assert shown["rsv"] == "RSV1"
    assert shown["memory_estimate"] > 10_000
    options = {field["name"]: field for field in shown["options"]}
    assert options["level"]["default"] == 6
    assert options["level"]["wire"] is None
    assert options["client_no_context_takeover"]["wire"] == "client_no_context_takeover"


def test_show_an_interceptor_an_option_set_and_a_plugin() -> None:
    assert "local interceptor" in wsext("ext", "show", "framelog").stdout
    shown = wsext("ext", "show", "low-memory").stdout
    assert "server_max_window_bits = 10" in shown
    assert "bytes per connection" in shown
    assert "low-latency" in wsext("ext", "show", "presets").stdout


def test_show_of_an_unknown_name_is_one_line() -> None:
    done = wsext("ext", "show", "permesage-deflate")
    assert done.returncode == 1
    assert done.stderr == (
        "wsext: plugin 'permesage-deflate': no such extension or option set is installed; "
        "did you mean 'permessage-deflate'?\n"
    )
