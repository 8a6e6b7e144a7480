"""The command itself: version, help, commands of plugins, errors."""

from __future__ import annotations

import os
from pathlib import Path

import wsext as package
from tests.e2e.processes import wsext
from tests.fake import write_metadata


def test_version_and_help() -> None:
    assert package.__version__ in wsext("--version").stdout
    for command in ("serve", "connect", "ext", "completion"):
        assert command in wsext("--help").stdout
    assert "--option-set" in wsext("serve", "--help").stdout


def test_the_nearest_command_is_suggested() -> None:
    done = wsext("srve")
    assert done.returncode == 2
    assert "Did you mean 'serve'?" in done.stderr


def test_plugins_add_commands(tmp_path: Path) -> None:
    (tmp_path / "hello_plugin.py").write_text(
        "import click\n"
        "from wsext import hookimpl\n"
        "@hookimpl\n"
        "def wsext_commands(cli):\n"
        "    @cli.command()\n"
        "    def hello():\n"
        "        'Say hello.'\n"
        "        click.echo('hello from a plugin')\n"
    )
    entries = {"hello": "hello_plugin", "broken": "not_there_at_all"}
    write_metadata(tmp_path, "hello", entries)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert wsext("hello", env=env).stdout == "hello from a plugin\n"
    shown = wsext("--help", env=env)
    assert "Say hello." in shown.stdout
    assert "not_there_at_all" in shown.stderr  # named, and skipped
