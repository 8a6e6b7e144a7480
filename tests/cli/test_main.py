"""The command itself: version, help, commands of plugins, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wsext as package
from tests.e2e.processes import wsext
from tests.fake import write_metadata

#: The console script.
SCRIPT = str(Path(sys.executable).with_name("wsext"))


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
    (tmp_path / "exits_plugin.py").write_text(
        "from wsext import hookimpl\n@hookimpl\ndef wsext_commands(cli): raise SystemExit('bye')\n"
    )
    entries = {"hello": "hello_plugin", "broken": "not_there_at_all", "exits": "exits_plugin"}
    write_metadata(tmp_path, "hello", entries)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert wsext("hello", env=env).stdout == "hello from a plugin\n"
    shown = wsext("--help", env=env)
    assert "Say hello." in shown.stdout
    assert "not_there_at_all" in shown.stderr  # named, and skipped
    assert "plugin exits cannot add its commands: SystemExit('bye')" in shown.stderr


# --- the current folder -----------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path) -> dict[str, str]:
    """An environment with a plugin that leaves a file behind when it is imported."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "trap_plugin.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'sprung')!r}).touch()\n"
    )
    write_metadata(folder, "trap", {"trap": "trap_plugin"})
    env = {key: value for key, value in os.environ.items() if not key.startswith("WSEXT_")}
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {**env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def complete(words: str) -> dict[str, str]:
    """What a shell sets to have words completed."""
    count = str(len(words.split(" ")) - 1)
    return {"_WSEXT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}


ANYWHERE = [
    (["--help"], {}),
    (["srve"], {}),
    (["unheard-of"], {}),
    ([], complete("wsext tr")),
    ([], complete("wsext serve --ext tr")),
    ([], complete("wsext serve --ext trap:l")),
    ([], complete("wsext serve --option-set l")),
    ([], complete("wsext ext show tr")),
    (["ext", "doctor"], {}),
    (["ext", "list"], {}),
    (["ext", "show", "permessage-deflate"], {}),
    (["ext", "negotiate"], {}),
    (["connect", "ws://127.0.0.1:1"], {}),
    (["config"], {}),
]


@pytest.mark.parametrize(
    ("args", "variables"), ANYWHERE, ids=lambda value: str(value).replace("{}", "")[-40:]
)
@pytest.mark.parametrize("content", ['[plugins]\ndeny = ["trap"]', "[plugins]\nallow = []"])
def test_a_plugin_that_is_denied_is_never_imported(
    args: list[str], variables: dict[str, str], content: str, trap: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "wsext.toml").write_text(content)
    wsext(*args, env={**trap, **variables}, cwd=tmp_path, stdin="")
    assert not (tmp_path / "sprung").exists()


def test_what_cannot_be_read_allows_no_plugin(trap: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "wsext.toml").write_text("[plugins\n")
    done = wsext("--help", env=trap, cwd=tmp_path)
    assert (done.returncode, "serve" in done.stdout) == (0, True)
    assert "wsext.toml: not TOML" in done.stderr
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "wsext.toml").unlink()
    done = wsext("--help", env={**trap, "WSEXT_PORT": "1"}, cwd=tmp_path)
    assert (done.returncode, "WSEXT_PORT: no such variable" in done.stderr) == (0, True)
    assert not (tmp_path / "sprung").exists()
    wsext("--help", env=trap, cwd=tmp_path)
    assert (tmp_path / "sprung").exists()  # the trap works


@pytest.mark.parametrize("command", [[sys.executable, "-m", "wsext"], [SCRIPT]])
@pytest.mark.parametrize("args", [["--help"], ["ext", "list"], ["connect", "ws://127.0.0.1:1"]])
def test_nothing_is_imported_from_the_current_folder(
    command: list[str], args: list[str], tmp_path: Path
) -> None:
    for name in ("msgspec", "click", "logging", "rich", "websockets", "aiofastnet"):
        (tmp_path / f"{name}.py").write_text("open('sprung', 'w')\n")
    write_metadata(tmp_path, "here", {"here": "msgspec"})
    done = subprocess.run(
        [*command, *args], cwd=tmp_path, input="", capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sprung").exists()
