"""Runs the ``wsext`` command as users do: in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

WSEXT = [sys.executable, "-m", "wsext"]

#: The environment of a user who has installed only these; every distribution is installed here.
ENV = {**os.environ, "WSEXT_PLUGINS": "permessage-deflate,framelog,presets"}


class Served(NamedTuple):
    """A server's process and its address."""

    process: subprocess.Popen[str]
    http: str

    @property
    def ws(self) -> str:
        return self.http.replace("http", "ws", 1).rstrip("/")

    @property
    def port(self) -> int:
        return int(self.http.rstrip("/").rpartition(":")[2])


@contextmanager
def serving(
    *args: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    ends_with: int = 0,
    access_log: str | None = "off",
    python: str | Path = sys.executable,
    flags: Sequence[str] = (),
    **popen: Any,
) -> Iterator[Served]:
    """``wsext serve ARGS`` on a free port, until the block ends; it has to end with 0."""
    command = [str(python), *flags, "-m", "wsext", "serve", "--port", "0", *args]
    if access_log is not None:
        command += ["--access-log", access_log]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=cwd, env=env or ENV, **popen
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r" on (\S+)$", line)
            assert found, f"no address in {line!r}"
            process.stdout.readline()  # the extensions
            yield Served(process, found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == ends_with, f"wsext serve ended with {code}"


def wsext(
    *args: str, stdin: str = "", cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``wsext ARGS``, to its end."""
    return subprocess.run(
        [*WSEXT, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,  # a slow machine is not what is tested
        cwd=cwd,
        env=env or ENV,
        check=False,
    )
