"""Workers that hang, are stopped, are killed, or cannot start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.e2e.processes import Served, serving
from tests.e2e.processes import wsext as run_wsext
from tests.raw import raw_peer
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="workers need processes that inherit sockets"
)

APP = """
import os
from pathlib import Path
from wsext import App

app = App()

@app.websocket("/")
async def say(session):
    await session.send(str(os.getpid()))
    async for message in session:
        if message == "block":
            compute()
        await session.send(message)

def compute():
    while not Path("enough").exists():
        pass
"""

HANGING = """
import time
from pathlib import Path

def wait():
    Path("in").touch()
    time.sleep(60)

wait()
"""

TIMEOUT = ("--set", "server.worker_timeout=3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "demo.py").write_text(APP)
    return tmp_path


def replace(path: Path, text: str) -> None:
    """Change a file that may be read at any moment."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


class Log:
    """What a server has written to stderr so far."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log"

    def open(self) -> Any:
        return self._path.open("w")

    @property
    def text(self) -> str:
        return self._path.read_text()

    async def wait_for(self, words: str) -> str:
        """The first line with these words, once it is there."""
        await until(lambda: words in self.text, every=0.02)
        return next(line for line in self.text.splitlines() if words in line)


async def worker_of(url: str, **options: Any) -> int:
    """The process id of the worker that a new connection comes to."""
    async with wsext.connect(url, **options) as session:
        return int(str(await session.receive()))


async def connect_to(served: Served, pid: int) -> wsext.Session:
    """A session with this worker."""
    while True:
        session = await wsext.connect(served.ws)
        if int(str(await session.receive())) == pid:
            return session
        await session.close()


def workers_of(served: Served) -> list[int]:
    path = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


@pytest.mark.parametrize("kind", ["stopped", "busy"])
async def test_a_worker_that_does_not_answer_takes_no_connections_and_is_replaced(
    kind: str, folder: Path
) -> None:
    log = Log(folder)
    with (
        log.open() as stderr,
        serving("demo:app", "--workers", "2", *TIMEOUT, cwd=folder, stderr=stderr) as served,
    ):
        victim = await worker_of(served.ws)
        session = await connect_to(served, victim)
        if kind == "stopped":
            os.kill(victim, signal.SIGSTOP)
        else:
            await session.send("block")
        # Half of these are handed to the worker that does not answer, at first.
        seen = await asyncio.gather(*(worker_of(served.ws, open_timeout=20) for _ in range(60)))
        assert victim not in seen
        assert (await session.wait_closed()).code == 1006
        line = await log.wait_for("worker_timeout")
        assert f"worker {victim} has not answered for 3 s (worker_timeout) and is killed" in line
        line = await log.wait_for("ended with")
        assert f"worker {victim} ended with " in line
        assert "lost with it: 1 sessions, " in line
        assert ("in compute" in log.text) is (kind == "busy")  # where it hung
        survivor = seen[0]
        await until(lambda: _is_other(served, {victim, survivor}), every=0.05)


async def _is_other(served: Served, known: set[int]) -> bool:
    return await worker_of(served.ws) not in known


async def test_a_worker_that_answers_again_in_time_is_kept(folder: Path) -> None:
    with serving("demo:app", "--workers", "2", cwd=folder) as served:
        victim = await worker_of(served.ws)
        session = await connect_to(served, victim)
        os.kill(victim, signal.SIGSTOP)
        seen = await asyncio.gather(*(worker_of(served.ws, open_timeout=20) for _ in range(20)))
        assert victim not in seen
        os.kill(victim, signal.SIGCONT)
        await session.send("on")
        assert await session.receive() == "on"
        (await connect_to(served, victim)).abort()
        await session.close()


async def test_everything_stopped_for_a_while_is_no_fault_of_the_workers(folder: Path) -> None:
    log = Log(folder)
    with (
        log.open() as stderr,
        serving("demo:app", "--workers", "1", *TIMEOUT, cwd=folder, stderr=stderr) as served,
    ):
        async with wsext.connect(served.ws) as session:
            worker = int(str(await session.receive()))
            for pid in (served.process.pid, worker):
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(4)  # longer than the timeout: nothing can tell of it
            for pid in (served.process.pid, worker):
                os.kill(pid, signal.SIGCONT)
            await session.send("on")
            assert await session.receive() == "on"
        assert await worker_of(served.ws) == worker
    assert "worker_timeout" not in log.text


async def test_without_a_timeout_a_worker_may_hang(folder: Path) -> None:
    with serving(
        "demo:app", "--workers", "2", "--set", "server.worker_timeout=none", cwd=folder
    ) as served:
        victim = await worker_of(served.ws)
        session = await connect_to(served, victim)
        await session.send("block")
        seen = await asyncio.gather(*(worker_of(served.ws, open_timeout=20) for _ in range(10)))
        assert victim not in seen  # it is late, so others get the connections
        (folder / "enough").touch()
        assert await session.receive() == "block"
        await session.close()


async def test_a_killed_worker_loses_what_the_log_says_and_no_more(folder: Path) -> None:
    log = Log(folder)
    outcomes: Counter[str] = Counter()
    with (
        log.open() as stderr,
        serving("demo:app", "--workers", "2", cwd=folder, stderr=stderr) as served,
    ):
        victim = await worker_of(served.ws)
        slots = asyncio.Semaphore(100)

        async def client() -> None:
            async with slots, raw_peer(served.port) as peer:
                try:
                    outcomes[(await peer.shake())[:12]] += 1
                except (ConnectionError, asyncio.IncompleteReadError):
                    outcomes["lost"] += 1

        clients = [asyncio.create_task(client()) for _ in range(500)]
        await until(lambda: outcomes.total() >= 150, every=0)
        os.kill(victim, signal.SIGKILL)
        await asyncio.gather(*clients)
        line = await log.wait_for(f"worker {victim} ended with -9; lost with it: ")
    assert outcomes.keys() <= {"HTTP/1.1 101", "lost"}
    found = re.search(r"(\d+) sessions, (\d+) other", line)
    assert found
    assert outcomes["lost"] <= int(found[1]) + int(found[2])
    assert outcomes["lost"] <= 10  # those that it was answering: of 100 at the same time


async def test_a_reload_that_hangs_has_a_deadline_and_later_ones_work(folder: Path) -> None:
    log = Log(folder)
    with (
        log.open() as stderr,
        serving("demo:app", "--workers", "2", *TIMEOUT, cwd=folder, stderr=stderr) as served,
    ):
        before = set(workers_of(served))
        replace(folder / "demo.py", HANGING)
        served.process.send_signal(signal.SIGHUP)
        await until((folder / "in").exists)
        (hanging,) = set(workers_of(served)) - before
        replace(folder / "demo.py", APP)
        served.process.send_signal(signal.SIGHUP)
        await log.wait_for("a reload is under way; the next one follows it")
        assert await worker_of(served.ws) in before
        await log.wait_for(f"worker {hanging} was not ready in 10 s (worker_timeout) and is killed")
        await log.wait_for("in wait")
        await log.wait_for("the old ones go on")
        await log.wait_for(" reloaded")
        assert not set(workers_of(served)) & {hanging}
        assert await worker_of(served.ws) not in before


async def test_a_start_that_hangs_has_a_deadline(folder: Path) -> None:
    (folder / "demo.py").write_text(HANGING)
    done = await asyncio.to_thread(
        run_wsext, "serve", "demo:app", "--port", "0", "--workers", "3", *TIMEOUT, cwd=folder
    )
    assert done.returncode == 1
    assert done.stderr.count("was not ready in 10 s (worker_timeout) and is killed") == 1


async def test_a_start_that_hangs_is_ended_at_once_by_a_signal(folder: Path) -> None:
    (folder / "demo.py").write_text(HANGING)
    command = [sys.executable, "-m", "wsext", "serve", "demo:app", "--port", "0", "--workers", "2"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=subprocess.PIPE)
    await until((folder / "in").exists)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 8) == 0  # a start may take 30 s


async def test_workers_that_die_at_once_are_started_with_growing_waits(folder: Path) -> None:
    log = Log(folder)
    with (
        log.open() as stderr,
        serving("demo:app", "--workers", "1", cwd=folder, stderr=stderr) as served,
    ):
        victim = await worker_of(served.ws)
        replace(folder / "demo.py", "raise SystemExit(7)\n")
        os.kill(victim, signal.SIGKILL)
        await until(lambda: log.text.count("ended with 7; a new one in") >= 3, every=0.05)
        waits = [float(found) for found in re.findall(r"a new one in ([\d.]+) s", log.text)]
        assert waits[3] > waits[0]
        assert "Traceback" not in log.text
        replace(folder / "demo.py", APP)
        await worker_of(served.ws, open_timeout=20)  # it waited for the next worker


SPAWNING = """
import multiprocessing
import friend

child = multiprocessing.get_context("spawn").Process(target=friend.work)
child.start()
child.join()
assert child.exitcode == 0
"""


async def test_nothing_is_imported_from_the_current_folder_but_the_app(folder: Path) -> None:
    for name in ("msgspec", "uvloop", "json", "click"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported from the folder')\n")
    (folder / "friend.py").write_text("def work():\n    import msgspec, json\n")
    (folder / "demo.py").write_text(APP + SPAWNING)
    with serving("demo:app", "--workers", "1", cwd=folder, flags=["-P"]) as served:
        await worker_of(served.ws)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
async def test_sigterm_is_logged_alike(workers: tuple[str, ...], folder: Path) -> None:
    log = Log(folder)
    with (
        log.open() as stderr,
        serving("demo:app", *workers, cwd=folder, stderr=stderr) as served,
    ):
        sessions = [await wsext.connect(served.ws) for _ in range(4)]
        for session in sessions:
            await session.receive()
        before = len(log.text)
        served.process.send_signal(signal.SIGTERM)
        for session in sessions:
            assert (await session.wait_closed()).code == 1001
        await asyncio.to_thread(served.process.wait, 10)
    assert [line.rsplit("  ", 1)[1] for line in log.text[before:].splitlines()] == [
        "draining 4 sessions"
    ]
