"""Completion: the scripts, and the names that they complete."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.e2e.processes import wsext


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
    return [line.split(",", 1)[1] for line in wsext(env=env).stdout.splitlines()]


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
