"""The files to deploy with, as systemd and a container engine see them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_systemd
def test_the_unit_exposes_little() -> None:
    done = analyze("security", "--offline=true", "--threshold=20", DEPLOY / "wsext.service")
    assert done.returncode == 0, done.stdout
    found = re.search(r"exposure level for wsext.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= 2.0


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    done = analyze("verify", DEPLOY / "wsext.service", DEPLOY / "wsext.socket")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# --- the container ----------------------------------------------------------------------------


def steps() -> list[tuple[str, str]]:
    """The instructions of the container's file with what follows each of them."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def said(instruction: str) -> str:
    (rest,) = [rest for name, rest in steps() if name == instruction]
    return rest


def test_each_step_of_the_container_can_be_taken() -> None:
    """Without an engine: the packages and extras are there, and the commands are commands."""
    names = [name for name, _ in steps()]
    assert names[0] == "FROM"
    assert names.index("USER") > names.index("RUN")  # what is installed is root's
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim", said("FROM"))
    assert python is not None
    assert f"Programming Language :: Python :: {python[1]}" in project["classifiers"]
    useradd, pip = (shlex.split(command) for command in said("RUN").split("&&"))
    assert useradd[0] == "useradd"
    assert useradd[-1] == said("USER")
    assert pip[:2] == ["pip", "install"]
    for text in (word for word in pip[2:] if not word.startswith("-")):
        wanted = Requirement(text)
        assert wanted.name == project["name"]
        assert wanted.extras <= set(project["optional-dependencies"])
    program, option, code = json.loads(said("HEALTHCHECK").removeprefix("CMD "))
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f":{said('EXPOSE')}/healthz" in code


def engine() -> str | None:
    """A container engine that answers."""
    for name in ("podman", "docker"):
        found = shutil.which(name)
        if (
            found
            and not subprocess.run([found, "info"], capture_output=True, check=False).returncode
        ):
            return found
    return None


@pytest.mark.timeout(900)
def test_the_container_is_built(tmp_path: Path) -> None:
    """With the wheels of this checkout in place of published ones."""
    program = engine()
    if program is None:
        pytest.skip("there is no container engine that answers: podman, or docker with its daemon")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "wheels")]
    for project in (
        ROOT,
        *(ROOT / "extensions" / name for name in ("wsext-deflate", "wsext-metrics")),
    ):
        subprocess.run([*build, str(project)], check=True, capture_output=True)
    text = (DEPLOY / "Containerfile").read_text()
    text = text.replace("RUN useradd", "COPY wheels /wheels\nRUN useradd")
    text = text.replace("pip install ", "pip install --find-links /wheels ")
    (tmp_path / "Containerfile").write_text(text)
    shutil.copy(ROOT / "examples" / "chat.py", tmp_path / "chat.py")
    (tmp_path / "wsext.toml").write_text("")
    command = [program, "build", "-t", "wsext-test", "-f", "Containerfile", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = subprocess.run(
        [program, "run", "--rm", "wsext-test", "--help"], capture_output=True, text=True, check=True
    )
    assert "Serve an app" in told.stdout
