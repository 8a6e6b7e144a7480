"""Who builds a distribution again gets the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What the sdist and the wheel are made of.
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.py", "wsext")


def build(folder: Path) -> dict[str, str]:
    """Build the core from a copy of its sources; the digest of each file."""
    folder.mkdir()
    without = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=without, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, folder / name)
    code = (
        "from setuptools import build_meta as backend\n"
        "print(backend.build_sdist('dist'), backend.build_wheel('dist'))"
    )
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "WSEXT_BUILD_CODEC": "no"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "dist").iterdir()
    }


def test_a_second_build_makes_the_same_bytes(tmp_path: Path) -> None:
    first = build(tmp_path / "first")
    assert {Path(name).suffix for name in first} == {".gz", ".whl"}
    assert build(tmp_path / "second") == first
