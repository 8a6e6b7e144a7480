"""The tests on every Python that is found here: ``make matrix``.

On each of them, the oldest first: the whole suite with compiled modules and the newest
dependencies; the core on other event loops than asyncio's own; and what needs no other library's
peers with the lowest versions that the ``pyproject.toml`` files allow, as Python sources.

``--ends`` runs what CI adds to its own run: the core and the event loops, on the oldest and on the
newest Python, and not on the one that ``make test`` has run on. ``--lowest`` runs tests on this
Python alone, with the lowest versions.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import findpython
from packaging.version import Version

UV = str(Path(sys.executable).with_name("uv"))
PLACE = Path("build", "matrix")
OLDEST = Version("3.11")

CORE = [f"tests/{room}" for room in ("protocol", "runtime", "server", "client", "outcomes")]
LOOPED = [f"tests/{room}" for room in ("runtime", "client", "outcomes")]
LOOPS = ("debug", "eager", "uvloop")
ALONE = [
    f"tests/{room}" for room in ("protocol", "sdk", "app", "config", "http2", "server", "client")
]
#: The first `websockets` with the API for asyncio that is used by it now, and what talks to it.
ASYNCIO = "websockets==13.0"
BESIDE = ["tests/integrations", "tests/e2e/test_foreign.py"]
#: How long one run of tests may take, in seconds.
PATIENCE = 1800


class Run(NamedTuple):
    """Tests that run in one environment."""

    name: str
    python: str
    tests: Sequence[str]
    codec: str = "c"


def pythons() -> list[tuple[str, str]]:
    """Version and path of one interpreter for each minor version, the oldest first."""
    found: dict[int, tuple[str, str]] = {}
    for python in findpython.find_all():  # the newest first
        fits = python.version >= OLDEST and python.implementation == "cpython"
        if fits and not python.is_prerelease and not python.freethreaded:
            found.setdefault(python.minor, (str(python.version), str(python.executable)))
    found.setdefault(sys.version_info.minor, (platform.python_version(), sys.executable))
    return [found[minor] for minor in sorted(found)]


def environment(version: str, path: str, *, lowest: bool) -> str:
    """Make an environment; return its interpreter."""
    folder = PLACE / f"{version}-{'lowest' if lowest else 'newest'}"
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", path, folder], check=True)
    python = str(folder / "bin" / "python")
    install = [UV, "pip", "install", "--quiet", "--python", python, "-r", "requirements/dev.txt"]
    if lowest:  # of those that are built for this Python already: only a few compile on a newer one
        built_here = ["wsext", *(each.name for each in Path("extensions").iterdir()), "yattag"]
        install += ["--resolution", "lowest-direct", "--only-binary", ":all:"]
        install += [word for name in built_here for word in ("--no-binary", name)]
    # What was built without compiled modules fits every Python, and would be taken again.
    install += ["--refresh-package", "wsext"]
    env = {**os.environ, "WSEXT_BUILD_CODEC": "no" if lowest else "yes"}
    subprocess.run(install, env=env, check=True)
    return python


def newest(version: str, path: str, first: Sequence[str]) -> Iterator[Run]:
    """What runs with the newest dependencies; the first of it on asyncio's own loop."""
    python = environment(version, path, lowest=False)
    yield Run("the whole suite" if not first else "the core", python, first)
    for loop in LOOPS:
        if loop != "eager" or Version(version) >= Version("3.12"):
            yield Run(f"the core on the loop {loop!r}", python, (*LOOPED, "--loop", loop))
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, ASYNCIO], check=True)
    yield Run(f"beside {ASYNCIO}", python, BESIDE)


def lowest(version: str, path: str, tests: Sequence[str]) -> Iterator[Run]:
    """What runs with the lowest versions."""
    python = environment(version, path, lowest=True)
    yield Run("the lowest versions", python, tests, "python")


def runs(options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """Everything that is to run, with the version of its Python."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}."
    found = pythons()
    if options.lowest is not None:
        found = [each for each in found if each[0].startswith(own)]
    elif options.ends:
        ends = dict.fromkeys((found[0], found[-1]))
        found = [each for each in ends if not each[0].startswith(own)]
    print("Pythons:", ", ".join(version for version, _ in found) or "no other one", flush=True)
    for version, path in found:
        if options.lowest is None:
            for run in newest(version, path, CORE if options.ends else ()):
                yield version, run
        if not options.ends:
            for run in lowest(version, path, options.lowest or ALONE):
                yield version, run


def main() -> int:
    """Run them, and say how each went; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ends", action="store_true", help="what CI adds to its own run")
    parser.add_argument("--lowest", nargs="*", metavar="TESTS", help="the lowest versions only")
    parser.add_argument("--jobs", default="4", help="how many tests run at once")
    options = parser.parse_args()
    rows = []
    for version, run in runs(options):
        print(f"\n== Python {version}: {run.name}", flush=True)
        began = time.monotonic()
        pytest = [run.python, "-m", "pytest", "-q", "-n", options.jobs, "--dist", "worksteal"]
        env = {**os.environ, "WSEXT_CODEC": run.codec}
        done = subprocess.run([*pytest, *run.tests], env=env, check=False, timeout=PATIENCE)
        how = "failed" if done.returncode else "passed"
        rows.append((how, f"{how}  Python {version}: {run.name}, {time.monotonic() - began:.0f} s"))
    print("", *(row for _, row in rows), sep="\n")
    return sum(how == "failed" for how, _ in rows)


if __name__ == "__main__":
    raise SystemExit(main())
