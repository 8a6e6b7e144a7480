"""The pages of the first hour, done as their readers do them, in the order of the page.

A block of ``sh`` is what they type. The block of ``text`` after it is some of what is then printed:
these lines in this order, perhaps with others between them; blanks do not count, and … is anything.
A block that begins with the name of a file is that file.

SHOW=full python -m pytest tests/e2e/test_first_hour.py -n0

does all of it; otherwise what starts further processes is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.brokers import free_port
from tests.e2e.processes import python, running_wsext, wsext
from tests.fake import write_metadata

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "first-hour").glob("*.md"))

#: The port in the pages.
PORT = "8765"

#: The plugins of a distribution, for who has installed it.
PLUGINS = {
    "wsext[standard]": ["permessage-deflate"],
    "wsext[standard,test,mutate]": ["permessage-deflate"],
    "wsext-zstd": ["permessage-zstd", "zstd-commands"],
    "wsext-metrics": ["metrics"],
}

#: What starts processes of its own, and takes a second or more.
SLOW = ("wsext ext list", "wsext ext doctor", "wsext ext check", "wsext serve --workers")

#: What needs a network, or changes the terminal; what it does is done here otherwise.
DONE_ELSEWHERE = ("python3 -m venv ", ". .venv/bin/activate", "python -m build ")


class Terminal:
    """Where a reader types."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = str(free_port())
        self._plugins: list[str] = []
        self._python: list[str] = []  # what is installed in place
        self._server = ExitStack()

    @property
    def _env(self) -> dict[str, str]:
        plugins = ",".join(self._plugins)
        path = os.pathsep.join([*self._python, os.environ.get("PYTHONPATH", "")])
        more = {"WSEXT_PLUGINS": plugins, "WSEXT_SERVE__PORT": self._port, "PYTHONPATH": path}
        return {**os.environ, **more}

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def type(self, line: str, expected: list[str]) -> None:
        """Run a line, and see that it prints what the page says."""
        line = line.replace(PORT, self._port)
        if line.startswith("pip install "):
            self._install(*shlex.split(line)[2:])
        elif line.startswith(SLOW) and os.environ.get("SHOW") != "full":
            return
        elif line.startswith("wsext serve"):
            self.stop()
            self._serve(shlex.split(line)[1:], expected)
        elif not line.startswith(DONE_ELSEWHERE):
            self._check(line, self._run(line), expected)

    def _run(self, line: str) -> list[str]:
        said, _, line = line.rpartition(" | ")
        program, *args = shlex.split(line, comments=True)
        if program == "curl":
            with urllib.request.urlopen(args[-1], timeout=20) as answer:
                return [answer.read().decode()]
        if program == "python":
            done = python(self._folder / args[0], cwd=self._folder)
        else:
            assert program == "wsext", line
            stdin = "".join(f"{each}\n" for each in shlex.split(said)[1:])
            done = wsext(*args, stdin=stdin, cwd=self._folder, env=self._env)
        return [done.stdout, done.stderr]

    def _install(self, *names: str) -> None:
        for name in names:
            self._plugins += PLUGINS.get(name, [])
        if names[0] == "-e":
            token = names[1]
            short = token.removeprefix("permessage-")
            source, kind = self._folder / token / "src", f"Permessage{short.capitalize()}"
            entries = {token: f"wsext_{short}:{kind}"}
            write_metadata(source, f"wsext-{short}", entries, "0.1.0")
            self._plugins.append(token)
            self._python.append(str(source))

    def _serve(self, args: list[str], expected: list[str]) -> None:
        work = running_wsext(*args, "--access-log", "off", cwd=self._folder, env=self._env)
        process, output = self._server.enter_context(work)
        until, lines = time.monotonic() + 60, max(2, len(expected))
        while (said := output.read_text() if output.exists() else "").count("\n") < lines:
            assert process.is_alive(), f"wsext {args} has ended"
            assert time.monotonic() < until, said
            time.sleep(0.02)  # nothing tells of a line in a file
        self._check("wsext serve", [said], expected)

    def stop(self) -> None:
        """Ctrl-C, if a server runs."""
        self._server.close()

    def _check(self, line: str, printed: list[str], expected: list[str]) -> None:
        """What is printed on stdout and what is printed on stderr may stand between each other."""
        left = [[squeezed(each) for each in stream.splitlines()] for stream in printed]
        for each in expected:
            pattern = ".*".join(map(re.escape, squeezed(each.replace(PORT, self._port)).split("…")))
            for stream in left:
                at = next(
                    (n for n, other in enumerate(stream) if re.fullmatch(pattern, other)), None
                )
                if at is not None:
                    del stream[: at + 1]
                    break
            else:
                raise AssertionError(f"{line}: no line (any more) is {each!r} in:\n{printed}")


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
