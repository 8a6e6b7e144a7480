"""The pages of the first hour, done as their readers do them, in the order of the page.

A block of ``sh`` is what they type. The block of ``text`` after it is some of what is then printed:
these lines in this order, perhaps with others between them; blanks do not count, and … is anything.
A block that begins with the name of a file is that file.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import free_port
from tests.e2e.processes import WSEXT, python, wsext

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "first-hour").glob("*.md"))

#: The port in the pages.
PORT = "8765"

#: The plugins of a distribution, for who has installed it.
PLUGINS = {
    "wsext[standard]": ["permessage-deflate"],
    "wsext-zstd": ["permessage-zstd", "zstd-commands"],
    "wsext-metrics": ["metrics"],
}

#: What needs a network, or changes the terminal; what it does is done here otherwise.
DONE_ELSEWHERE = ("python3 -m venv ", "python -m venv ", ". .venv/bin/activate", "cd ")


class Terminal:
    """Where a reader types."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = str(free_port())
        self._plugins: list[str] = []
        self._server: subprocess.Popen[str] | None = None

    @property
    def _env(self) -> dict[str, str]:
        plugins = ",".join(self._plugins)
        return {**os.environ, "WSEXT_PLUGINS": plugins, "WSEXT_SERVE__PORT": self._port}

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def type(self, line: str, expected: list[str]) -> None:
        """Run a line, and see that it prints what the page says."""
        line = line.replace(PORT, self._port)
        if line.startswith("pip install "):
            for name in shlex.split(line)[2:]:
                self._plugins += PLUGINS.get(name, [])
        elif line.startswith("wsext serve"):
            self.stop()
            self._serve(shlex.split(line)[2:], expected)
        elif not line.startswith(DONE_ELSEWHERE):
            self._check(line, self._run(line), expected)

    def _run(self, line: str) -> str:
        said, _, line = line.rpartition(" | ")
        program, *args = shlex.split(line, comments=True)
        if program == "curl":
            with urllib.request.urlopen(args[-1], timeout=20) as answer:
                return str(answer.read().decode())
        if program == "python":
            done = python(self._folder / args[0], cwd=self._folder)
        elif program == "wsext":
            stdin = "".join(f"{each}\n" for each in shlex.split(said)[1:])
            done = wsext(*args, stdin=stdin, cwd=self._folder, env=self._env)
        else:
            assert program == "kill", line
            assert self._server is not None
            self._server.send_signal(getattr(signal, f"SIG{args[0].removeprefix('-')}"))
            return ""
        return done.stderr + done.stdout

    def _serve(self, args: list[str], expected: list[str]) -> None:
        self._server = subprocess.Popen(
            [*WSEXT, "serve", *args, "--access-log", "off"],
            cwd=self._folder,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._server.stdout is not None
        said = self._server.stdout.readline() + self._server.stdout.readline()
        self._check("wsext serve", said, expected)

    def stop(self) -> None:
        """Ctrl-C, if a server runs."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            assert self._server.wait(20) == 0
            assert self._server.stdout is not None
            self._server.stdout.close()
            self._server = None

    def _check(self, line: str, printed: str, expected: list[str]) -> None:
        left = iter(map(squeezed, printed.splitlines()))
        for each in expected:
            pattern = ".*".join(map(re.escape, squeezed(each.replace(PORT, self._port)).split("…")))
            found = any(re.fullmatch(pattern, other) for other in left)
            assert found, f"{line}: no line (any more) is {each!r} in:\n{printed}"


def squeezed(line: str) -> str:
    """With one blank where there are several: columns are as wide as what else is in them."""
    return " ".join(line.split())


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_step_prints_what_the_page_says(page: Path, terminal: Terminal) -> None:
    steps = re.findall(
        r"^```(\w+)\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", page.read_text(), re.S | re.M
    )
    assert steps
    for language, block, printed in steps:
        named = re.match(r"# (\S+\.\w+)\n", block)
        if named is not None:
            terminal.write(named[1], block)
        elif language == "sh":
            *before, last = block.splitlines()
            for line in before:
                terminal.type(line, [])
            terminal.type(last, printed.splitlines())
