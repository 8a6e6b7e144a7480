"""The tests on every Python that is found here: ``make matrix``.

On each of them, the oldest first: the whole suite with compiled modules and the newest
dependencies; the core on other event loops than asyncio's own; and the core's sources with the
lowest versions that the ``pyproject.toml`` files allow.

``--ends`` runs what CI adds to its own run: the core and the event loops, on the oldest and on the
newest Python, and not on the one that ``make test`` has run on.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import findpython

UV = str(Path(sys.executable).with_name("uv"))
PLACE = Path("build", "matrix")
OLDEST = findpython.Version("3.11")

CORE = [f"tests/{room}" for room in ("protocol", "runtime", "server", "client", "outcomes")]
LOOPED = [f"tests/{room}" for room in ("runtime", "client", "outcomes")]
LOOPS = ("debug", "eager", "uvloop")
#: How long one run of tests may take, in seconds.
PATIENCE = 1800


def pythons() -> list[tuple[str, str]]:
    """Version and path of one interpreter for each minor version, the oldest first."""
    found: dict[int, tuple[str, str]] = {}
    for python in findpython.find_all():  # the newest first
        fits = python.version >= OLDEST and python.implementation == "cpython"
        if fits and not python.is_prerelease and not python.freethreaded:
            found.setdefault(python.minor, (str(python.version), str(python.executable)))
    return [found[minor] for minor in sorted(found)]


def environment(version: str, path: str, resolution: str) -> str:
    """Make an environment; return its interpreter."""
    folder = PLACE / f"{version}-{resolution}"
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", path, folder], check=True)
    python = str(folder / "bin" / "python")
    install = [UV, "pip", "install", "--quiet", "--python", python, "--resolution", resolution]
    build = {**os.environ, "WSEXT_BUILD_CODEC": "yes" if resolution == "highest" else "no"}
    subprocess.run([*install, "-r", "requirements/dev.txt"], env=build, check=True)
    return python


def runs(version: str, path: str, *, whole: bool) -> Iterator[tuple[str, list[str], str]]:
    """What to run on one interpreter: a name, the command, and ``WSEXT_CODEC``."""
    python = environment(version, path, "highest")
    yield ("the whole suite", [python], "c") if whole else ("the core", [python, *CORE], "c")
    for loop in LOOPS:
        if loop != "eager" or findpython.Version(version) >= findpython.Version("3.12"):
            yield f"on the loop {loop!r}", [python, *LOOPED, "--loop", loop], "c"
    if whole:
        lowest = environment(version, path, "lowest-direct")
        yield "the core with the lowest versions", [lowest, *CORE], "python"


def main() -> int:
    """Run them, and say how each went; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ends", action="store_true", help="what CI adds to its own run")
    parser.add_argument("--jobs", default="4", help="how many tests run at once")
    options = parser.parse_args()
    chosen = pythons()
    print("found:", ", ".join(version for version, _ in chosen), flush=True)
    if options.ends:
        own = f"{sys.version_info.major}.{sys.version_info.minor}."
        chosen = [each for each in dict.fromkeys((chosen[0], chosen[-1])) if own not in each[0]]
    rows = []
    for version, path in chosen:
        for name, (python, *what), codec in runs(version, path, whole=not options.ends):
            print(f"\n== Python {version}: {name}", flush=True)
            began = time.monotonic()
            command = [
                python,
                "-m",
                "pytest",
                "-q",
                "-n",
                options.jobs,
                "--dist",
                "worksteal",
                *what,
            ]
            env = {**os.environ, "WSEXT_CODEC": codec}
            done = subprocess.run(command, env=env, check=False, timeout=PATIENCE)
            how = "failed" if done.returncode else "passed"
            rows.append((how, f"{how}  Python {version}: {name}, {time.monotonic() - began:.0f} s"))
    print("", *(row for _, row in rows), sep="\n")
    return sum(how == "failed" for how, _ in rows)


if __name__ == "__main__":
    raise SystemExit(main())
