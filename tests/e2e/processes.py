"""Runs the ``wsext`` command as users do: in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import re
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from wsext import cli

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


#: Most of what a short program does is to start Python and to import wsext. So one process does
#: that once, and is forked for each of them.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["__main__", *(module.name for module in pkgutil.iter_modules(cli.__path__, "wsext.cli."))]
)


def wsext(
    *args: str, stdin: str = "", cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``wsext ARGS``, to its end; a pipe has to hold the whole input.

    Bytes that are not UTF-8 are lone surrogates, in ``stdin`` and in what was printed.
    """
    return _run(cli.main, list(args), stdin=stdin, cwd=cwd, env=env or ENV)


def python(path: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``python -W error PATH``, to its end."""
    return _run(_script, path, cwd=cwd)


def _script(path: Path) -> None:
    warnings.simplefilter("error")
    runpy.run_path(str(path), run_name="__main__")


def _run(
    work: Callable[..., object],
    *args: Any,
    stdin: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Call a function in a process of its own."""
    with TemporaryDirectory() as folder:
        output = [Path(folder, name) for name in ("stdout", "stderr")]
        place = cwd or Path.cwd()
        process = _FORKS.Process(target=_live, args=(stdin, output, place, dict(env), work, *args))
        process.start()
        process.join(100)  # a slow machine is not what is tested
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(str(args), 100)
        return subprocess.CompletedProcess(
            args,
            process.exitcode,
            *(path.read_bytes().decode(errors="surrogateescape") for path in output),
        )


@contextmanager
def running_wsext(*args: str, cwd: Path, env: Mapping[str, str]) -> Iterator[tuple[Any, Path]]:
    """``wsext ARGS`` in a process of its own, and the file of what it prints; Ctrl-C ends it."""
    with TemporaryDirectory() as folder:
        output = [Path(folder, name) for name in ("stdout", "stderr")]
        process = _FORKS.Process(
            target=_live, args=("", output, cwd, dict(env), cli.main, list(args))
        )
        process.start()
        try:
            yield process, output[0]
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGINT)
            process.join(20)
            assert process.exitcode == 0, output[1].read_text()


def _live(
    stdin: str,
    output: Sequence[Path],
    cwd: Path,
    env: dict[str, str],
    work: Callable[..., object],
    *args: Any,
) -> None:
    """Put into place what a process has from its start, and be the program."""
    source, sink = os.pipe()
    os.write(sink, stdin.encode(errors="surrogateescape"))
    os.close(sink)
    os.dup2(source, 0)
    sys.stdin = os.fdopen(0, closefd=False)
    for number, path in enumerate(output, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    work(*args)
