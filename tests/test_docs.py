"""The documentation is true: its code runs, and it knows every option, hook and command."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pydoc
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import wsext
from tests.e2e.processes import python
from wsext import testing
from wsext.app.settings import ServerOptions
from wsext.cli import cli
from wsext.cli.ext import ext
from wsext.cli.serve import serve
from wsext.config.configuration import Config
from wsext.config.sections import PluginOptions, ServeOptions
from wsext.config.sources import take_environment
from wsext.reference import build_app
from wsext.rooms.backplanes.options import NatsOptions
from wsext.rooms.settings import RoomOptions
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stages import LIFE
from wsext.sdk import hookspecs
from wsext.sdk.conformance import Conformance
from wsext.sdk.extension import Installable
from wsext.sdk.options import option_fields

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = ROOT / "docs" / "reference.md"


def name(path: Path) -> str:
    """What a page is called."""
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


# What these say is done in tests/e2e: test_tutorial.py, test_first_hour.py.
ELSEWHERE = ROOT / "docs" / "first-hour"
RUN = [p for p in PAGES if p.name != "tutorial-extension.md" and p.parent != ELSEWHERE]


@pytest.mark.parametrize("path", RUN, ids=name)
def test_the_code_of_a_page_runs(path: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(path, "python"))
    if "async def main()" in code:
        code += "\nimport asyncio\nasyncio.run(main())\n"
    (tmp_path / "page.py").write_text(code)
    done = python(tmp_path / "page.py")
    assert done.returncode == 0, done.stderr


def test_the_readmes_client_talks_to_the_reference_app(tmp_path: Path) -> None:
    namespace: dict[str, object] = {}
    exec("\n".join(blocks(ROOT / "README.md", "python")), namespace)  # our own page

    async def main() -> None:
        async with wsext.serve(build_app()) as server:
            await namespace["talk"](f"{server.url}/echo")  # type: ignore[operator]

    asyncio.run(main())


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    "options", [ServeOptions, ServerOptions, WebSocketOptions, RoomOptions, PluginOptions]
)
def test_the_reference_knows_every_option(options: type[wsext.OptionSet]) -> None:
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in REFERENCE.read_text().splitlines()
        if len(cells := line.split("|")) == 6
    }
    for field in option_fields(options):
        default, bounds, meaning = rows[f"`{field.name}`"]
        assert meaning == field.description
        assert not field.bounds or bounds == field.bounds
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert default == str(field.default)


def test_the_page_of_rooms_knows_every_parameter_of_a_backplane() -> None:
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in (ROOT / "docs" / "rooms.md").read_text().splitlines()
        if len(cells := line.split("|")) == 5
    }
    for field in option_fields(NatsOptions):
        default, meaning = rows[f"`{field.name}`"]
        assert default == str(field.default)
        assert field.description in meaning


def test_the_reference_knows_every_hook_error_and_command() -> None:
    text = REFERENCE.read_text()
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("wsext_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            assert f"`{name}({arguments})`" in text
    for name in wsext.__all__:
        value = getattr(wsext, name)
        if inspect.isclass(value) and issubclass(value, wsext.WsextError):
            assert name in text
    for command in (
        "serve",
        "connect",
        "inspect",
        "replay",
        "publish",
        "rooms",
        "asyncapi",
        "config",
        "completion",
    ):
        assert command in cli.list_commands(None)  # type: ignore[arg-type]
        assert f"`wsext {command}" in text
    for command in ext.list_commands(None):  # type: ignore[arg-type]
        assert f"`wsext ext {command}" in text


def test_every_public_name_is_documented_with_its_exact_signature() -> None:
    script = ROOT / "docs" / "build_api.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "api.md").read_text()
    for name in [*wsext.__all__, *testing.__all__]:
        assert name == "__version__" or f"### `{name}`" in text, name
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("wsext_"):
            assert f"### `{name}`" in text
            for argument in inspect.signature(function).parameters:
                assert argument in text.partition(f"### `{name}`")[2].partition("###")[0]


INHERITED = [
    *(Installable, wsext.Extension, wsext.Interceptor, wsext.Codec, wsext.MessageCodec),
    *(Conformance, testing.ExtensionSuite, testing.InterceptorSuite),
]


@pytest.mark.parametrize("kind", INHERITED, ids=lambda kind: kind.__name__)
def test_help_describes_every_attribute_that_an_author_may_set(kind: type) -> None:
    text = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    about = text.partition("Attributes:")[2].partition("Method resolution order:")[0]
    for owner in kind.__mro__[:-1]:
        for name in {**vars(owner), **inspect.get_annotations(owner)}:
            value = inspect.getattr_static(kind, name, None)
            if name.startswith("_") or (callable(value) and not inspect.isclass(value)):
                continue
            if not isinstance(value, (property, classmethod, staticmethod)):
                assert re.search(rf"^ \|  +(\w+, )*{name}(, \w+)*: [A-Z`]", about, re.M), name


def test_the_page_of_tests_knows_what_conformance_takes() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    names = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert names == list(Conformance.__annotations__)


def test_the_life_of_a_session_is_drawn_from_its_table() -> None:
    script = ROOT / "docs" / "build_life.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "life.md").read_text()
    for (stage, happening), following in LIFE.items():
        assert f"| {stage.name} | {happening.value} | {following.name} |" in text
        assert re.search(rf"^\| {stage.name} \| [^|]+ \|$", text, re.MULTILINE), stage  # what it is
        arrow = rf"^    {stage.name} --> {following.name}: .*{re.escape(happening.value)}"
        assert stage is following or re.search(arrow, text, re.MULTILINE), arrow


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", tmp_path]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=60)
    assert (tmp_path / "tutorial-extension" / "index.html").is_file()


def test_the_example_configuration_is_valid() -> None:
    (text,) = blocks(REFERENCE, "toml")
    config = Config()
    config.update(tomllib.loads(text))
    assert config.section("websocket").max_message_size == 65536
    assert config.extensions == {"permessage-deflate": {"level": 9}, "permessage-zstd": None}


def test_the_deployments_use_options_that_there_are() -> None:
    deploy = ROOT / "docs" / "deploy"
    (line,) = re.findall(r"^ExecStart=(.*)$", (deploy / "wsext.service").read_text(), re.M)
    program, *arguments = line.removeprefix("/usr/bin/env wsext ").split()
    command = serve.make_context(program, arguments)
    assert (command.params["fd"], command.params["workers"]) == ("3", "2")
    text = (deploy / "Containerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.M)
    assert serve.make_context("serve", json.loads(entry)[2:]).params["app"] == "chat:app"
    config = Config()
    text += (deploy / "wsext.service").read_text()
    take_environment(config, dict(re.findall(r"(WSEXT_\w+)=(\S+)", text)), [])
    assert config.section("serve").health
    assert config.section("server").trusted_proxies == ("127.0.0.1", "::1")


def test_the_readme_has_the_two_commands_first() -> None:
    first = blocks(ROOT / "README.md", "sh")[0]
    assert first.split("\n") == ["make serve", "make test", ""]
