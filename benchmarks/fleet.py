"""The servers under test: started once on their core, stopped together; and the C tools."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import recipes
from materials import make_certificate, make_dictionary
from recipes import Unavailable

__all__ = [
    "BESIDE",
    "Fleet",
    "Server",
    "Unavailable",
    "names",
    "pin",
    "run_client",
    "run_load",
    "warmup_of",
]

HERE = Path(__file__).parent
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]

#: File, or name of a recipe, and arguments, by name; those of wsext are made from its variants.
_PEERS: dict[str, tuple[str, ...]] = {
    "websockets": ("echo_websockets.py",),
    "picows": ("echo_picows.py",),
    "picows-api": ("echo_picows_api.py",),
    "aiohttp": ("echo_aiohttp.py",),
    "aiohttp-isal": ("echo_aiohttp.py", "isal"),
    "uvicorn": ("echo_uvicorn.py", "websockets-sansio"),
    "uvicorn-wsproto": ("echo_uvicorn.py", "wsproto"),
    "granian": ("echo_granian.py",),
    "socketify": ("echo_socketify.py",),
    "socketify-shared": ("echo_socketify.py", "shared"),
    "tornado": ("echo_tornado.py",),
    "ws": ("ws",),
    "bun": ("bun",),
    "bun-shared": ("bun", "shared"),
    "gorilla": ("gorilla",),
    "fastwebsockets": ("fastwebsockets",),
    "tungstenite": ("tungstenite",),
    "jetty": ("jetty",),
    "ktor": ("ktor",),
    "floor": ("floor.c",),
    "growth": ("growth_wsext.py",),
    "uvicorn-wsext": ("echo_uvicorn.py", "wsext.integrations.uvicorn:Protocol"),
    "fastapi": ("echo_fastapi.py", "websockets-sansio"),
    "fastapi-wsproto": ("echo_fastapi.py", "wsproto"),
    "fastapi-wsext": ("echo_fastapi.py", "wsext.integrations.uvicorn:Protocol"),
    "hypercorn": ("echo_hypercorn.py",),
    "client-wsext": ("client_wsext.py", "coro"),
    "client-wsext-listener": ("client_wsext.py", "listener"),
    "client-websockets": ("client_websockets.py",),
    "client-picows": ("client_picows.py",),
    "client-picows-api": ("client_websockets.py", "picows"),
    "client-aiohttp": ("client_aiohttp.py",),
}
for _codec in ("", "-python"):
    for _hook in ("", "-hook"):
        _PEERS[f"wsext{_codec}{_hook}"] = ("echo_wsext.py", f"coro{_hook}")
        _PEERS[f"wsext-listener{_codec}{_hook}"] = ("echo_wsext.py", f"listener{_hook}")
for _name in ("wsext", "wsext-listener", "websockets", "picows", "aiohttp", "uvicorn", "ws"):
    _PEERS[f"{_name}-tls"] = _PEERS[_name]
for _broker, _library in (("redis", "redis-py"), ("nats", "nats-py")):
    for _side in ("", "-too"):  # two processes
        _PEERS[f"wsext-{_broker}{_side}"] = ("echo_wsext.py", "coro")
        _PEERS[f"{_library}-{_broker}{_side}"] = (f"echo_{_broker}.py",)

#: The echo server of the clients that are measured: it runs where the load would.
BESIDE = "floor-beside"
_PEERS[BESIDE] = _PEERS["floor"]

#: How a broker is started on a port, by its name.
_BROKERS = {
    "redis": ("redis-server", "--bind", "127.0.0.1", "--save", "", "--port"),
    "nats": ("nats-server", "-a", "127.0.0.1", "-js", "-p"),
}

#: Which Python runs a server, by its name, where it is not this one.
PYTHONS: dict[str, str] = {}


def add_before(python: str) -> None:
    """Measure another version of wsext as well: the one that this Python has installed."""
    for name in ("wsext", "wsext-listener"):
        before = f"{name}-before"
        _PEERS[before] = _PEERS[name]
        PYTHONS[before] = python


def names() -> list[str]:
    """Every server there is."""
    return list(_PEERS)


def warmup_of(name: str) -> float:
    """Seconds under load that a server needs before it is as fast as it gets."""
    recipe = recipes.RECIPES.get(_PEERS[name][0])
    return recipe[0].warmup if recipe else 0.0


def pin(cpu: int) -> None:
    """Keep this process, and those that it starts, on one processor."""
    os.sched_setaffinity(0, {cpu})


class Server:
    """One server process with its children.

    Args:
        name: Its name.
        tools: The folder of the run.
        broker: The URL of the broker that it is to use.
    """

    def __init__(self, name: str, tools: Path, broker: str = "") -> None:
        self.name = name
        self._stopped = False
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        self._log = tools / f"{name}.{self.port}.log"
        if name in _BROKERS:
            command, env = _broker(name, tools, self.port), {}
        else:
            command, env = _command(name, tools, self.port)
        if name.endswith("-tls"):
            make_certificate(tools)
            env["BENCH_TLS"] = "1"
        env |= {"BENCH_FOLDER": str(tools), "BENCH_BROKER": broker}
        pin(LOAD_CPU if name == BESIDE else SERVER_CPU)
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    env={**os.environ, **env},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd=tools,  # what it writes goes with the run
                    start_new_session=True,  # Ctrl-C is for the harness, which stops them all
                )
        finally:
            pin(LOAD_CPU)

    def wait(self) -> None:
        """Until it listens.

        Raises:
            Unavailable: If it ends instead, or takes too long.
        """
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(self.last_words() or "it does not start")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")

    def pids(self) -> list[int]:
        """Its processes: those of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found

    def rss(self) -> int:
        """Bytes of memory in use by all of its processes."""
        pages = 0
        for pid in self.pids():
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """Kill it with its children."""
        if not self._stopped:
            self._stopped = True  # its number may soon be somebody else's
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Fleet:
    """Servers by name, each started when it is first needed and then kept.

    Attributes:
        left_out: Why a server does not take part, by name.
    """

    def __init__(self, tools: Path) -> None:
        self.tools = tools
        self.left_out: dict[str, str] = {}
        self._running: dict[str, Server] = {}
        self._all: list[Server] = []
        for tool in ("load", "connect", "pace"):
            _compile(HERE / f"{tool}.c", tools / tool)
        with suppress(ImportError):
            make_dictionary(tools)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def tool(self, name: str, transport: str) -> Path:
        """One of the C clients, for a transport.

        Raises:
            Unavailable: For TLS without OpenSSL's headers.
        """
        if transport not in ("tls", "resume"):
            return self.tools / name
        target = self.tools / f"{name}-tls"
        _compile(HERE / f"{name}.c", target, "-DWITH_TLS", "-lssl", "-lcrypto")
        return target

    def start(self, wanted: Iterable[str]) -> None:
        """Start these together; those that fail are in `left_out`."""
        new = []
        for name in wanted:
            running = self._running.get(name)
            if name in self.left_out or (running and running.is_running):
                continue
            with self._leaving_out(name):
                self._running[name] = self._launch(name)
                new.append(name)
        for name in new:
            with self._leaving_out(name):
                self._running[name].wait()

    def fresh(self, name: str) -> Server:
        """One more of it.

        Raises:
            Unavailable: If it does not run here.
        """
        server = self._launch(name)
        server.wait()
        return server

    def get(self, name: str) -> Server | None:
        """A server that has been started, or ``None``."""
        return None if name in self.left_out else self._running.get(name)

    def broker_of(self, name: str) -> Server | None:
        """The broker that a server uses, if it uses one."""
        return self._running.get(next((kind for kind in _BROKERS if f"-{kind}" in name), ""))

    def stop(self) -> None:
        """Stop every one that was started."""
        for server in self._all:
            server.stop()

    def _launch(self, name: str) -> Server:
        for kind in _BROKERS:
            if f"-{kind}" in name:
                self.start([kind])
                if kind in self.left_out:
                    raise Unavailable(self.left_out[kind])
        broker = self.broker_of(name)
        url = f"{broker.name}://127.0.0.1:{broker.port}" if broker else ""
        server = Server(name, self.tools, url)
        self._all.append(server)
        return server

    @contextmanager
    def _leaving_out(self, name: str) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            self.left_out[name] = str(error)
            print(f"left out: {name}: {error}", file=sys.stderr)


def _broker(name: str, folder: Path, port: int) -> list[str]:
    """The command line of a broker."""
    program, *arguments = _BROKERS[name]
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Unavailable(f"{program} is not installed")
    where = ["--dir", str(folder)] if name == "redis" else ["-sd", str(folder)]
    return [path, *arguments, str(port), *where]


def _compile(source: Path, target: Path, *libraries: str) -> None:
    if not target.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise Unavailable("there is no C compiler (cc)")
        command = [compiler, "-O2", "-o", str(target), str(source), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"cc {source.name}: {done.stderr.strip()[:200]}")


def _command(name: str, tools: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command line of a server, and what it needs in its environment."""
    file, *arguments = _PEERS[name]
    if file in recipes.RECIPES:
        return [*recipes.command(file), str(port), *arguments], {}
    source = HERE / "servers" / file
    if file.endswith(".c"):
        _compile(source, tools / name, "-lz")
        return [str(tools / name), str(port)], {}
    codec = "python" if "-python" in name else "auto"
    python = PYTHONS.get(name, sys.executable)
    return [python, str(source), str(port), *arguments], {"WSEXT_CODEC": codec}


def run_load(tool: Path, arguments: Iterable[object], data: bytes) -> list[float]:
    """Run one of the C clients on this process's processor; gives the figures it prints.

    Raises:
        Unavailable: If it fails, with its reason.
    """
    return _figures([str(tool), *map(str, arguments)], data)


def run_client(name: str, tools: Path, port: int, arguments: Iterable[object]) -> list[float]:
    """Run a client where servers run otherwise; gives the figures it prints.

    Raises:
        Unavailable: If it fails, with its last words.
    """
    command, _ = _command(name, tools, port)
    pin(SERVER_CPU)
    try:
        return _figures([*command, *map(str, arguments)], b"")
    finally:
        pin(LOAD_CPU)


def _figures(command: list[str], data: bytes) -> list[float]:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(words[-1][:200] if words else "the load failed")
    return [float(figure) for figure in done.stdout.split()]
