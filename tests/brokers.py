"""Real brokers, started by the tests on free ports in folders of their own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import tools

#: How the servers keep what they have: on disk, or not beyond their own life.
KINDS = ("redis", "redis-forgetful", "nats", "nats-forgetful")


class Broker:
    """A broker's process.

    Args:
        kind: One of `KINDS`.
        folder: Where it may write.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """For ``App(backplane=...)``; a test must not wait long for a reconnection."""
        name = self.kind.partition("-")[0]
        storage = "&storage=memory" if self.kind == "nats-forgetful" else ""
        return f"{name}://127.0.0.1:{self.port}?max_backoff=0.2{storage}"

    def _command(self) -> list[str]:
        if self.kind.startswith("nats"):
            place = ["-p", str(self.port), "-a", "127.0.0.1"]
            return [tools.find("nats-server"), "-js", "-sd", str(self._folder), *place]
        keep = "no" if self.kind == "redis-forgetful" else "yes"
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        # By default Redis may answer up to two seconds before it writes, while the disk is slow.
        keep_all = ["--appendonly", keep, "--appendfsync", "always"]
        replicas_at_once = ["--repl-diskless-sync-delay", "0"]
        return [tools.find("redis-server"), *place, *keep_all, "--save", "", *replicas_at_once]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        until = time.monotonic() + 15
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "the broker does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        question, answer = (b"PING\r\n", b"PONG")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as peer:
                peer.sendall(question)
                return answer in peer.recv(4096) or self.kind.startswith("nats")
        except OSError:
            return False

    def stall(self) -> None:
        """Stop it: connections stay, and nothing answers, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # all of its threads have stopped

    def go_on(self) -> None:
        """Let it go on after `stall`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as its operator does: what it keeps is written."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill it, as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port that stays free while a broker is down: below those that the system gives away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Broker]:
    """A broker that runs, unless it is killed meanwhile."""
    broker = Broker(kind, folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
