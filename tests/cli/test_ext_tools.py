"""``wsext ext negotiate``, ``doctor`` and ``freeze``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import wsext
from tests.fake import write_metadata


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An environment with plugins that are each broken in one way."""
    (tmp_path / "plug_crash.py").write_text("import not_there_at_all\n")
    (tmp_path / "plug_new.py").write_text("wsext_api_version = 99\n")
    (tmp_path / "plug_bomb.py").write_text(
        "from wsext import RSV, Extension, MessageCodec\n"
        "class C(MessageCodec):\n"
        "    def encode_message(self, data): return data[::-1]\n"
        "    def decode_message(self, data, budget): return data\n"
        "class Bad(Extension):\n"
        "    'Forgets to decode.'\n"
        "    name = 'x-bad'\n"
        "    rsv = RSV.RSV1\n"
        "    def make_codec(self, params, ctx): return C()\n"
    )
    entries = {"x-crash": "plug_crash:X", "x-new": "plug_new", "x-bad": "plug_bomb:Bad"}
    write_metadata(tmp_path, "broken", entries)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_negotiate_as_server_client_and_offerer() -> None:
    offer = "permessage-deflate; x=1, permessage-deflate; server_max_window_bits=10, x-foo"
    done = wsext("ext", "negotiate", "--offer", offer)
    assert "declined  unknown parameter 'x'" in done.stdout
    assert "response: Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10" in (
        done.stdout
    )
    asked = json.loads(wsext("ext", "negotiate", "--offer", offer, "--json").stdout)
    assert [item["verdict"] for item in asked["offers"]] == ["declined", "agreed", "skipped"]

    option = "permessage-deflate:client_max_window_bits=9"
    assert "client_max_window_bits=9" in wsext("ext", "negotiate", "--ext", option).stdout
    bad = wsext("ext", "negotiate", "--answer", "permessage-deflate; server_max_window_bits=99")
    assert bad.returncode == 1
    assert "refuses this answer: permessage-deflate: server_max_window_bits" in bad.stderr
    good = wsext("ext", "negotiate", "--answer", "permessage-deflate; client_max_window_bits=9")
    assert "agreed: Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=9" in (
        good.stdout
    )


def test_doctor_names_every_problem_and_what_to_do(broken: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "wsext.toml").write_text(
        'option_sets = ["nope"]\n[extensions.permessage-deflate]\nlevel = 77\n'
        '[plugins]\ndeny = ["framelog"]\n'
    )
    done = wsext("ext", "doctor", "--json", env=broken, cwd=tmp_path)
    assert done.returncode == 1
    found: dict[str, list[dict[str, str]]] = {}
    for item in json.loads(done.stdout):
        found.setdefault(item["name"], []).append(item)
    assert found["x-crash"][0]["level"] == "problem"
    assert "not_there_at_all" in found["x-crash"][0]["text"]
    assert "missing" in found["x-crash"][0]["advice"]
    assert "99" in found["x-new"][0]["text"]
    assert found["framelog"][0]["level"] == "note"
    assert "level" in found["permessage-deflate"][1]["text"]
    assert found["nope"][0]["text"] == "no such option set"
    assert "RSV1" in found["permessage-deflate, x-bad"][0]["text"]


def test_doctor_says_what_to_do_about_each_plugin(tmp_path: Path) -> None:
    entries = {
        "x-keyed": "tests.extensions:Keyed",
        "x-shy": "tests.extensions:Shy",
        "x-faulty": "tests.extensions:Faulty",
        "x-wrong": "tests.extensions:Append",
    }
    write_metadata(tmp_path, "bad-name", entries)
    config = tmp_path / "wsext.toml"
    config.write_text(
        '[extensions.x-shy]\n[extensions.x-keyed]\nkeys = "s3cret"\n[server]\nbacklog = "many"\n'
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def doctor() -> subprocess.CompletedProcess[str]:
        return wsext("ext", "doctor", "--json", cwd=tmp_path, env=env)

    done = doctor()
    assert done.returncode == 1
    assert "s3cret" not in done.stdout + done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for item in json.loads(done.stdout):
        found.setdefault(item["name"], []).append(item)
    assert [item["level"] for item in found["x-shy"]] == ["ok"]  # it is configured
    (section,) = found["server"]
    assert section["level"] == "problem"
    assert "backlog: expected a whole number" in section["text"]
    assert "got 'many' (source: wsext.toml, line 5)" in section["text"]
    (_, keyed) = found["x-keyed"]
    assert keyed["text"].startswith("keys: can only be set in code: install('x-keyed', keys=...)")
    assert keyed["advice"] == "configured by: wsext.toml"
    (faulty,) = found["x-faulty"]
    assert (faulty["level"], "setup() failed: RuntimeError: no luck" in faulty["text"]) == (
        "problem",
        True,
    )
    assert faulty["advice"] == (
        "tell the authors of bad-name; until then leave it out: WSEXT_PLUGINS=-x-faulty"
    )
    (wrong,) = found["x-wrong"]
    assert "name the entry point so" in wrong["text"]
    assert "tests.extensions:Append" in wrong["text"]
    assert "pip install" not in wrong["advice"]

    config.write_text("[extensions.x-keyed]\nsize = 8\n")
    waiting = [item for item in json.loads(doctor().stdout) if item["name"] == "x-keyed"][-1]
    assert waiting["level"] == "note"
    assert waiting["advice"] == "install('x-keyed', keys=...) in the app"

    config.unlink()
    notes = {item["name"]: item for item in json.loads(doctor().stdout)}
    assert notes["x-keyed"]["level"] == notes["x-shy"]["level"] == "note"
    assert notes["x-keyed"]["advice"] == "install('x-keyed', keys=...) in the app"
    assert notes["x-shy"]["text"].startswith("off until it is configured: its class says")


def test_doctor_is_content_here(tmp_path: Path) -> None:
    done = wsext("ext", "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "permessage-deflate: active" in done.stdout


def test_freeze_pins_what_is_active() -> None:
    lines = wsext("ext", "freeze").stdout.splitlines()
    assert "wsext-deflate==0.1.0" in lines
    env = {**os.environ, "WSEXT_PLUGINS": "framelog"}
    assert "wsext-deflate==0.1.0" not in wsext("ext", "freeze", env=env).stdout.splitlines()
