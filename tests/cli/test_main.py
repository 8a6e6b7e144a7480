"""The command itself: version, help, completion, commands of plugins, errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = wsext("completion", shell)
    assert done.returncode == 0
    assert "_WSEXT_COMPLETE" in done.stdout


def complete(words: str) -> list[str]:
    env = {
        **os.environ,
        "_WSEXT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    command = Path(sys.executable).with_name("wsext")
    done = subprocess.run([command], capture_output=True, text=True, env=env, check=False)
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("wsext ser", "serve"),
        ("wsext serve --ext permessage-d", "permessage-deflate"),
        ("wsext serve --ext permessage-deflate:le", "permessage-deflate:level="),
        ("wsext serve --set websocket.max_m", "websocket.max_message_size="),
        ("wsext serve --option-set low-m", "low-memory"),
        ("wsext ext show frame", "framelog"),
    ],
)
def test_names_are_completed(words: str, expected: str) -> None:
    assert expected in complete(words)


def test_bash_accepts_the_script() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = wsext("completion", "bash").stdout
    subprocess.run([bash, "-n"], input=script, text=True, check=True)


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
