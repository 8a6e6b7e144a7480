"""What the pages tell people to type can be typed: commands, configuration, code."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import zstandard

from tests.e2e.processes import python, wsext
from tests.test_docs import ELSEWHERE, PAGES, ROOT, blocks, name
from wsext.cli import cli
from wsext.config.configuration import Config

#: The entry points of this environment, where every distribution is installed.
INSTALLED = [(point.name, point.dist.name) for point in entry_points(group="wsext") if point.dist]

READMES = sorted(ROOT.glob("extensions/*/README.md"))
EVERYTHING = [*PAGES, *READMES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def commands(path: Path) -> list[list[str]]:
    """The lines of a page's shell blocks, as words, without settings in front and comments."""
    found = []
    for block in blocks(path, "sh"):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            for part in re.split(r"\s(?:&&|\||>)\s", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words = words[1:]
                if words:
                    found.append(words)
    return found


def parse(words: list[str]) -> None:
    """Read a command line of ours as the command itself does, and stop there."""
    command: click.Command = cli
    context: click.Context | None = None
    args = words
    while True:
        try:
            context = command.make_context(command.name or "wsext", list(args), parent=context)
        except click.exceptions.Exit:  # --help, --version
            return
        except click.BadParameter as error:
            if "does not exist" in error.message:  # a file of the reader's
                return
            raise
        if not isinstance(command, click.Group):
            return
        rest = command.make_parser(context).parse_args(list(args))[1]
        assert rest, f"wsext {' '.join(words)}: a command is missing"
        found = command.get_command(context, rest[0])
        assert found is not None, f"wsext {' '.join(words)}: no command {rest[0]!r}"
        command, args = found, rest[1:]


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_commands_exist_and_take_what_they_are_given(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for program, *args in commands(path):
        if program == "wsext":
            parse(args)
        elif program == "make":
            for target in args:
                assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target
        elif program == "pip" and args[0] == "install":
            for wanted in re.findall(r"^wsext\[([\w,-]+)\]$", args[-1]):
                assert set(wanted.split(",")) <= set(extras["optional-dependencies"]), wanted
        elif program == "python" and args[0].startswith("examples/"):
            assert (ROOT / args[0]).is_file()


#: What ends by itself, and needs neither a server nor a file of the reader's.
ENDS = ("ext list", "ext show", "ext negotiate", "ext doctor", "ext freeze", "config", "completion")


@pytest.mark.parametrize("path", [p for p in EVERYTHING if p.parent != ELSEWHERE], ids=name)
def test_commands_that_end_by_themselves_do(path: Path) -> None:
    for program, *args in commands(path):
        if program == "wsext" and " ".join(args).startswith(ENDS):
            done = wsext(*args, env=dict(os.environ))  # every plugin is allowed
            assert done.returncode == 0, f"wsext {' '.join(args)}: {done.stdout}{done.stderr}"
            assert done.stdout


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_page_says_what_has_to_be_installed_for_its_commands(path: Path) -> None:
    """A plugin that does not come with ``wsext[standard]`` has its distribution on the page."""
    text = path.read_text()
    for program, *args in commands(path):
        for option, value in itertools.pairwise(args):
            wanted = {"wsext-presets"} if option == "--option-set" else set()
            if option in ("--ext", "show"):
                wanted = {found for point, found in INSTALLED if point == value.partition(":")[0]}
            for distribution in wanted - {"wsext-deflate"} if program == "wsext" else ():
                assert distribution in text, f"{option} {value} needs {distribution}"


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_configuration_is_valid(path: Path) -> None:
    for text in blocks(path, "toml"):
        found = tomllib.loads(text)
        if not {"project", "build-system", "tool"} & set(found):  # that would be pyproject.toml
            Config().update(found)


@pytest.mark.parametrize("path", READMES, ids=name)
def test_the_code_of_a_readme_runs(path: Path, tmp_path: Path) -> None:
    """With an app to install into, as its reader has one."""
    prelude = "import wsext\nfrom wsext import App, Session\napp = App()\n"
    code = prelude + "\n".join(blocks(path, "python"))
    (tmp_path / "page.py").write_text(code)
    samples = [b'{"symbol": "WSX", "price": %d}' % number for number in range(2000)]
    dictionary = zstandard.train_dictionary(2048, samples)
    (tmp_path / "feed.zdict").write_bytes(dictionary.as_bytes())
    done = python(tmp_path / "page.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
