"""Every distribution, built and installed where nothing else is.

SHOW=full python -m pytest tests/e2e/test_distributions.py -n0 --timeout 900
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect

from tests.e2e.processes import serving

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("extensions/*/pyproject.toml"))]

#: Lists what is installed, and where from.
LIST = """
import json
from importlib.metadata import distributions

found = {}
for dist in distributions():
    if dist.name.startswith("wsext"):
        found[dist.name] = json.loads(dist.read_text("direct_url.json"))["url"]
print(json.dumps(found))
"""


def run(*command: str | Path, **how: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WSEXT_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command], env={**env, **how}, capture_output=True, text=True,
        check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(os.environ.get("SHOW") != "full", reason="builds for a minute; SHOW=full")
@pytest.mark.timeout(900)
def test_the_wheels_serve_where_nothing_else_is(tmp_path: Path) -> None:
    built = tmp_path / "dist"

    def build(project: Path) -> None:
        run(sys.executable, "-m", "build", "--outdir", built, project, WSEXT_BUILD_CODEC="no")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(build, PROJECTS))
    files = sorted(built.iterdir())
    assert len(files) == 2 * len(PROJECTS)
    run(sys.executable, "-m", "twine", "check", "--strict", *files)

    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", *built.glob("*.whl"))
    installed = json.loads(run(python, "-c", LIST))
    assert len(installed) == len(PROJECTS)
    assert all(url.startswith(f"file://{built}/") for url in installed.values())

    env = {k: v for k, v in os.environ.items() if not k.startswith(("WSEXT_", "PYTHON"))}
    with serving(python=python, cwd=tmp_path, env=env) as served:
        with urlopen(served.http) as page:
            assert b"<title>" in page.read()
        with connect(f"{served.ws}/echo") as peer:
            assert peer.response is not None
            assert "permessage-deflate" in peer.response.headers["Sec-WebSocket-Extensions"]
            peer.send("hello " * 100)
            assert peer.recv() == "hello " * 100
    listed = run(tmp_path / "empty" / "bin" / "wsext", "ext", "list")
    assert "permessage-zstd" in listed
