"""The tutorial for extensions, done as its reader does it.

SHOW=full python -m pytest tests/e2e/test_tutorial.py -n0 -s --timeout 900

does all of it, in an empty folder, and prints how many seconds had passed before each command.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake import write_metadata
from wsext.scaffold import Package, render

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial-extension.md"
TOKEN = "permessage-fingerprint"


def steps(folder: Path) -> Iterator[str]:
    """What the page says to type, in order. Its code goes into files in ``folder``; each is copied
    into the package where the page begins it."""
    folder.mkdir()
    target, text = "", ""
    for language, block in re.findall(
        r"^```(sh|python)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    ):
        if language == "sh":
            yield from block.splitlines()
            continue
        named = re.match(r"# (\S+\.py)\n", block)  # else it goes on with the file before it
        target, text = (named[1], block[named.end() :]) if named else (target, f"{text}\n\n{block}")
        ready = folder / Path(target).name
        ready.write_text(text)
        if named:
            yield f"cp {ready} {TOKEN}/{target}"


def test_the_tutorials_package_passes_its_tests(tmp_path: Path) -> None:
    package = tmp_path / TOKEN
    for path, text in render(Package.named(TOKEN), "message", "MIT", "Ada").items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    copies = [step for step in steps(tmp_path / "code") if step.startswith("cp ")]
    subprocess.run(["sh", "-ec", "\n".join(copies)], cwd=tmp_path, check=True)
    write_metadata(
        package / "src",
        "wsext-fingerprint",
        {TOKEN: "wsext_fingerprint:PermessageFingerprint"},
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": f"{package / 'src'}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " failed" not in done.stdout


@pytest.mark.skipif(os.environ.get("SHOW") != "full", reason="installs from PyPI; SHOW=full")
@pytest.mark.timeout(900)
def test_from_an_empty_folder_to_a_wheel_in_five_minutes(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WSEXT_", "PYTHON"))}
    subprocess.run(build, env={**env, "WSEXT_BUILD_CODEC": "no"}, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    lines = [line.replace('"wsext[', f'"{wheel}[') for line in steps(tmp_path / "code")]
    lines[0] = lines[0].replace("python", sys.executable)
    # It ends with 1, because there are changes that only the package's own tests notice.
    lines = [f"{line} || test $? = 1" if "--mutate" in line else line for line in lines]
    empty = tmp_path / "empty"
    empty.mkdir()
    started = time.monotonic()
    script = "PS4='+ $SECONDS s: '\nset -ex\n" + "\n".join(lines)
    subprocess.run(["bash", "-c", script], cwd=empty, env=env, check=True)
    took = time.monotonic() - started
    print(f"from an empty folder to a wheel: {took:.0f} s")
    assert list((empty / TOKEN / "dist").glob("*.whl"))
    assert took < 300
