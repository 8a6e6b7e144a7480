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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any, NamedTuple, Self

from wsext import cli

WSEXT = [sys.executable, "-m", "wsext"]

#: The environment of a user who has installed only these; every distribution is installed here.
ENV = {**os.environ, "WSEXT_PLUGINS": "permessage-deflate,framelog,presets"}


class Served(NamedTuple):
    """A server's process and its address."""

    process: subprocess.Popen[str] | Forked
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
    stderr: Any = None,
    **popen: Any,
) -> Iterator[Served]:
    """``wsext serve ARGS`` on a free port, until the block ends; it has to end with 0.

    It is forked, as `wsext` is, if nothing is said of how Python is started.
    """
    command = ["serve", "--port", "0", *args]
    if access_log is not None:
        command += ["--access-log", access_log]
    process: Any
    if popen or flags or python != sys.executable:
        process = subprocess.Popen(
            [str(python), *flags, "-m", "wsext", *command],
            stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd, env=env or ENV, **popen,
        )  # fmt: skip
    else:
        process = Forked(cli.main, command, cwd=cwd, env=env or ENV, stderr=stderr)
    with process:
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


#: Where modules are looked for, before a test has added a folder that has an app of the same name.
_PATH = tuple(sys.path)

#: Most of what a short program does is to start Python and to import wsext. So one process does
#: that once, and is forked for each of them.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "__main__",
        *(module.name for module in pkgutil.iter_modules(cli.__path__, "wsext.cli.")),
        "wsext.server.http2",
        "wsext_deflate",
        "wsext_framelog",
        "wsext_presets",
    ]
)


class Forked:
    """A function in a process of its own, with what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        work: Callable[..., object],
        *args: Any,
        cwd: Path | None = None,
        env: Mapping[str, str] = os.environ,
        stdin: int | None = None,
        stderr: Any = None,
    ) -> None:
        source, self.stdin = _pipe()
        if stdin != subprocess.PIPE:
            self.stdin.close()  # there is nothing to read
        self.stdout, out = _pipe()
        self.stderr, err = _pipe() if stderr == subprocess.PIPE else (None, stderr)
        ends = (source, out, sys.__stderr__ if err is None else err)
        self._process = _start(ends, cwd, env, work, *args)
        for end in (source, out, err if self.stderr else None):
            if end is not None:
                end.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, sig: int) -> None:
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, sig)

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("wsext", timeout or 0)
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        for end in (self.stdin, self.stdout, self.stderr):
            if end is not None:
                end.close()


def _pipe() -> tuple[IO[str], IO[str]]:
    source, sink = os.pipe()
    return open(source), open(sink, "w")


def _start(
    ends: Iterable[IO[Any]],
    cwd: Path | None,
    env: Mapping[str, str],
    work: Callable[..., object],
    *args: Any,
) -> ForkServerProcess:
    """Call a function in a process of its own, with these files as its first descriptors."""
    passed = [Connection(os.dup(end.fileno())) for end in ends]  # what can be sent to a process
    where = _PATH, cwd or Path.cwd(), dict(env)
    process = _FORKS.Process(target=_live, args=(passed, *where, work, *args))
    process.start()
    for end in passed:
        end.close()
    return process


def wsext(
    *args: str, stdin: str = "", cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``wsext ARGS``, to its end; a pipe has to hold the whole input.

    Bytes that are not UTF-8 are lone surrogates, in ``stdin`` and in what was printed.
    """
    return _run(cli.main, list(args), stdin=stdin, cwd=cwd, env=env or ENV)


def python(path: Path, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``python -W error PATH ARGS``, to its end."""
    return _run(_script, path, *args, cwd=cwd)


def _script(path: Path, *args: str) -> None:
    warnings.simplefilter("error")
    sys.argv = [str(path), *args]
    runpy.run_path(str(path), run_name="__main__")


def _run(
    work: Callable[..., object],
    *args: Any,
    stdin: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Call a function in a process of its own."""
    source, sink = _pipe()
    with sink:
        sink.buffer.write(stdin.encode(errors="surrogateescape"))
    with source, TemporaryFile() as out, TemporaryFile() as err:
        process = _start((source, out, err), cwd, env, work, *args)
        process.join(100)  # a slow machine is not what is tested
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(str(args), 100)
        return subprocess.CompletedProcess(
            args, process.exitcode, *(_written(file) for file in (out, err))
        )


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


@contextmanager
def running_wsext(*args: str, cwd: Path, env: Mapping[str, str]) -> Iterator[tuple[Any, Path]]:
    """``wsext ARGS`` in a process of its own, and the file of what it prints; Ctrl-C ends it."""
    with NamedTemporaryFile() as out, TemporaryFile() as err, open(os.devnull) as nothing:
        process = _start((nothing, out, err), cwd, env, cli.main, list(args))
        try:
            yield process, Path(out.name)
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGINT)
            process.join(20)
            assert process.exitcode == 0, _written(err)


def _live(
    ends: Sequence[Connection],
    path: Sequence[str],
    cwd: Path,
    env: dict[str, str],
    work: Callable[..., object],
    *args: Any,
) -> None:
    """Put into place what a process has from its start, and be the program."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = os.fdopen(0, closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *path]
    work(*args)
