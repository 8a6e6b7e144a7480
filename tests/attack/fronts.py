"""How each front's server is started in a process of its own, and ended."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import runpy
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from tests.attack.meter import tree
from tests.attack.registry import Attack
from tests.brokers import running
from tests.e2e.processes import Forked

__all__ = ["FRONTS", "Front", "Serving", "key_of", "serving"]

ROOT = Path(__file__).parents[2]
COMPRESSION = "permessage-deflate,permessage-zstd,permessage-brotli"
TRIO_PLUGINS = f"{COMPRESSION},permessage-fragment,permessage-meta"
PLUGINS = f"{TRIO_PLUGINS},session-resume,metrics"
#: Limits that are reached soon; an attack's own options come after them.
OPTIONS = {
    "server.drain_timeout": 1,
    "server.handshake_timeout": 1,
    "server.http2_idle_timeout": 2,
    "websocket.close_timeout": 1,
    "websocket.write_timeout": 1,
}
#: A server without bounds must not take all of the machine's memory.
ADDRESS_SPACE = 4 << 30
#: What has a process killed when its parent ends (prctl(2)).
_LIBC, _SET_DEATH_SIGNAL = ctypes.CDLL(None), 1


@dataclass(frozen=True)
class Front:
    """What is attacked; attackers speak HTTP/2 if it says so."""

    args: tuple[str, ...] = ()
    tls: bool = False
    http2: bool = False
    uvicorn: bool = False
    trio: bool = False
    broker: str | None = None


FRONTS = {
    "http1": Front(),
    "http2": Front(http2=True),
    "tls": Front(tls=True),
    "workers": Front(("--workers", "2")),
    "uvicorn": Front(uvicorn=True),
    "trio": Front(trio=True),
    "client": Front(),
    "memory": Front(),
    "redis": Front(broker="redis-forgetful"),
    "nats": Front(broker="nats-forgetful"),
}


@dataclass
class Serving:
    """A server that runs."""

    process: Forked
    port: int
    log: Path
    context: ssl.SSLContext | None = None  # what a client verifies it with
    certificate: str | None = None  # the same as a file
    broker: int | None = None  # the broker's port

    @property
    def pid(self) -> int:
        return self.process.pid


def key_of(attack: Attack, front: str) -> tuple[object, ...]:
    """Attacks with equal keys can share a server."""
    how = replace(FRONTS[front], http2=False)
    return (how, attack.options, attack.args, attack.descriptors)


@contextmanager
def serving(attack: Attack, front: str, folder: Path) -> Iterator[Serving]:
    """Start the server that an attack needs; all of its processes are gone afterwards."""
    how = FRONTS[front]
    if how.broker is None:
        with _started(attack, how, folder, ()) as server:
            yield server
    else:
        with (
            running(how.broker, folder) as broker,
            _started(attack, how, folder, ("--backplane", broker.url)) as server,
        ):
            server.broker = broker.port
            yield server


@contextmanager
def _started(attack: Attack, how: Front, folder: Path, args: tuple[str, ...]) -> Iterator[Serving]:
    certificate = context = None
    if how.tls:
        ca = trustme.CA()
        issued = ca.issue_cert("localhost")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        (folder / "cert.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
        ca.cert_pem.write_to_path(certificate := str(folder / "ca.pem"))
        context = ssl.create_default_context(cafile=certificate)
        args += ("--ssl-cert", str(folder / "cert.pem"), "--ssl-key", str(folder / "key.pem"))
    port = _free_port() if how.uvicorn else 0
    log = folder / "log"
    command, env = (
        _command(attack, how, args, port),
        _environment(attack, TRIO_PLUGINS if how.trio else PLUGINS),
    )
    with (
        log.open("wb") as file,
        Forked(_live, attack.descriptors, command, cwd=folder, env=env, stderr=file) as process,
    ):
        try:
            if how.uvicorn:
                _wait_until_it_listens(port, process)
            else:
                port = _announced(process, log)
            yield Serving(process, port, log, context, certificate)
        finally:
            _end(process)


def _live(descriptors: int | None, command: list[str]) -> None:
    """Be a server: ``python -m`` with this command."""
    _limit(descriptors)
    os.setsid()
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _command(attack: Attack, how: Front, args: tuple[str, ...], port: int) -> list[str]:
    if how.uvicorn:
        # httptools has no limit of headers, and uvicorn's limit of messages is 16 MiB.
        limits = ["--http", "h11", "--ws-max-size", str(1 << 20)]
        place = ["--port", str(port), "--log-level", "warning", *limits]
        protocol = ["--ws", "wsext.integrations.uvicorn:Protocol"]
        return ["uvicorn", *protocol, *place, "tests.attack.asgi:app"]
    if how.trio:
        return ["tests.attack.trio_victim"]
    given = [*how.args, *args, *attack.args]
    if "--access-log" not in given:
        given += ["--access-log", "off"]
    return ["wsext", "serve", "--port", "0", *given, "tests.attack.victim:app"]


def _environment(attack: Attack, plugins: str) -> dict[str, str]:
    options = {**OPTIONS, **dict(attack.options)}
    paths = [str(ROOT), *(str(path) for path in ROOT.glob("extensions/*/src"))]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    names = {
        "WSEXT_" + path.upper().replace(".", "__").replace("-", "_"): str(value)
        for path, value in options.items()
    }
    path = os.pathsep.join(paths)
    return {**os.environ, "WSEXT_PLUGINS": plugins, "PYTHONPATH": path, **names}


def _limit(descriptors: int | None) -> None:
    _LIBC.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)  # it ends with the suite, however that ends
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


def _announced(process: Forked, log: Path) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 30)
    line = process.stdout.readline() if ready else ""
    found = re.search(r":(\d+)/$", line)
    assert found, f"no address in {line!r}: {log.read_text()}"
    return int(found[1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(port: int, process: Forked) -> None:
    until = time.monotonic() + 30
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < until, "the server does not listen"
        time.sleep(0.02)  # nothing tells when another process listens


def _end(process: Forked) -> None:
    """Ask it to end, and kill what is left of it."""
    pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
