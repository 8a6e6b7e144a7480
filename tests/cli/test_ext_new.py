"""``wsext ext new``: what it writes works at once, for every kind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.processes import wsext
from tests.fake import write_metadata
from wsext.errors import OptionError
from wsext.scaffold import KINDS, LICENSES, Package, render

ROOT = Path(__file__).parents[2]


def installed(package: Path) -> dict[str, str]:
    """An environment in which a package is importable and its entry point is known, as after
    ``pip install -e``."""
    about = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    more = [
        f"Summary: {about['description']}",
        f"License-Expression: {about['license']}",
        *(f"Requires-Dist: {line}" for line in about["dependencies"]),
    ]
    entries = about["entry-points"]["wsext"]
    write_metadata(package / "src", about["name"], entries, about["version"], more)
    paths = [str(package / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_new_package_passes_its_tests_and_the_kit(kind: str, tmp_path: Path) -> None:
    done = wsext("ext", "new", "permessage-foo", "--kind", kind, "--author", "Ada", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package = tmp_path / "permessage-foo"
    env = installed(package)

    def run(*args: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", *args],
            cwd=package,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    assert " failed" not in run("pytest", "-q", "-p", "no:cacheprovider")
    args = ("ext", "check", "permessage-foo", "--examples", "10")
    report = wsext(*args, cwd=package, env=env).stdout
    assert "permessage-foo conforms" in report
    assert "note" not in report
    assert "permessage-foo" in wsext("ext", "show", "permessage-foo", cwd=package, env=env).stdout
    lint = ("--isolated", "--select", "E,F,W,I,B,UP,ASYNC,PT", "--line-length", "100")
    run("ruff", "check", *lint, "src", "tests")
    run("ruff", "format", "--isolated", "--line-length", "100", "--check", "src", "tests")
    lines = sum(len(path.read_text().splitlines()) for path in package.glob("src/**/*.py"))
    assert lines < 120
    for path in package.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yml"):
            assert "@token@" not in path.read_text()


@pytest.mark.slow
def test_new_packages_pass_the_type_checker(tmp_path: Path) -> None:
    for kind in KINDS:
        for path, text in render(Package.named(f"x-{kind}"), kind, "MIT", "Ada").items():
            file = tmp_path / kind / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    folders = [f"{kind}/src" for kind in KINDS]
    # mypy does not see a core that is installed as editable.
    env = {**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), *folders])}
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *folders]
    done = subprocess.run(mypy, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_license_and_the_author_are_yours(tmp_path: Path) -> None:
    for name in LICENSES:
        args = ("--license", name, "--author", "Grace Hopper", "--dir", name)
        assert wsext("ext", "new", "x-cobol", *args, cwd=tmp_path).returncode == 0
        assert "Grace Hopper" in (tmp_path / name / "LICENSE").read_text()
        about = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())["project"]
        assert about["license"] == name
        assert about["entry-points"]["wsext"] == {"x-cobol": "wsext_cobol:XCobol"}


@pytest.mark.parametrize(
    ("author", "person"),
    [
        ('Ada "Countess" Lovelace', {"name": 'Ada "Countess" Lovelace'}),
        ("back\\slash\\", {"name": "back\\slash\\"}),
        ('"} ]\\n[tool]', {"name": '"} ]\\n[tool]'}),
        ("@token@ @cls@", {"name": "@token@ @cls@"}),
        ("Ådå 🎩", {"name": "Ådå 🎩"}),
        ("Ada <ada@example.org>", {"name": "Ada", "email": "ada@example.org"}),
        ('<"a"@example.org>', {"email": '"a"@example.org'}),
    ],
)
@pytest.mark.parametrize("kind", list(KINDS))
def test_an_author_is_text_whatever_stands_in_it(
    author: str, person: dict[str, str], kind: str
) -> None:
    made = render(Package.named("x-foo"), kind, "MIT", author)
    assert tomllib.loads(made["pyproject.toml"])["project"]["authors"] == [person]
    assert f"Copyright (c) {datetime.now(UTC).year} {author}\n" in made["LICENSE"]
    for path, text in made.items():
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("author", ["", " ", "a\nb", "a\x1b[2J", "a\x7f", "\udc80", "a\u202eb"])
def test_an_author_that_is_no_line_of_text_is_refused(author: str) -> None:
    with pytest.raises(OptionError, match="ext new: author: expected a name in one line"):
        render(Package.named("x-foo"), "local", "MIT", author)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "x-foo").mkdir()
    (tmp_path / "x-foo" / "mine.txt").write_text("mine")
    done = wsext("ext", "new", "x-foo", cwd=tmp_path)
    assert done.returncode == 2
    assert "not an empty folder" in done.stderr
    assert [path.name for path in (tmp_path / "x-foo").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("token", "names"),
    [
        ("permessage-foo", ("wsext-foo", "wsext_foo", "PermessageFoo")),
        ("x-market-data", ("wsext-market-data", "wsext_market_data", "XMarketData")),
        ("wsext-log", ("wsext-log", "wsext_log", "WsextLog")),
        ("audit", ("wsext-audit", "wsext_audit", "Audit")),
    ],
)
def test_names(token: str, names: tuple[str, str, str]) -> None:
    made = Package.named(token)
    assert (made.dist, made.module, made.cls) == names


@pytest.mark.parametrize("token", ["", "a b", "-x", "1x", "x/y", "../x", "x--y"])
def test_a_name_that_cannot_be_a_token_is_refused(token: str) -> None:
    with pytest.raises(OptionError, match="letters, digits"):
        Package.named(token)
