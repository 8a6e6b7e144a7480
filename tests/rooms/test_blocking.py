"""Publishers without an event loop: threads, forks, the end of a program."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests import brokers
from tests.rooms.scripted import ScriptedBroker
from wsext import BlockingPublisher, Position, PublishError, RemoteBackplane, RemoteOptions


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path) as broker:
        yield broker


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wsext"]


def test_many_threads_use_one(redis: brokers.Broker) -> None:
    publisher = BlockingPublisher(redis.url)

    def speak(who: int) -> None:
        for number in range(25):
            publisher.publish("tea", f"{who} {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(speak, range(8)))
    assert len(ours()) == 1
    got = [str(message.data).split() for message in publisher.history("tea", 1000)]
    assert len(got) == 200
    for who in range(8):
        assert [n for w, n in got if w == str(who)] == [str(number) for number in range(25)]
    assert publisher.presence("tea") == []
    assert publisher.rooms() == ["tea"]
    publisher.close()
    assert not ours()


def test_a_block_connects_and_disconnects(redis: brokers.Broker) -> None:
    with BlockingPublisher(redis.url) as publisher:
        assert len(ours()) == 1
        publisher.publish("tea", "hello")
    assert not ours()
    publisher.close()  # again does nothing
    with pytest.raises(RuntimeError, match="closed"):
        publisher.publish("tea", "hello")


def test_one_that_is_forgotten_ends_its_thread(redis: brokers.Broker) -> None:
    publisher = BlockingPublisher(redis.url)
    publisher.publish("tea", "hello")
    (thread,) = ours()
    del publisher
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


class Asked(RemoteBackplane):
    """Without a broker; says when it is given a message."""

    def __init__(self) -> None:
        self.broker = ScriptedBroker()
        self.broker.is_there = False
        super().__init__("fake://", self.broker, RemoteOptions(max_backoff=0.02))
        self.asked = threading.Event()

    async def store(self, *args: Any, **how: Any) -> Position | None:
        asyncio.get_running_loop().call_soon(self.asked.set)  # when it waits
        return await super().store(*args, **how)


def waiting_publisher() -> tuple[BlockingPublisher, list[Asked]]:
    """A publisher, and its backplanes: the last one is in use."""
    made: list[Asked] = []

    def make() -> Asked:
        made.append(Asked())
        return made[-1]

    return BlockingPublisher(make, timeout=60), made


def test_closing_tells_the_threads_that_wait() -> None:
    publisher, made = waiting_publisher()
    with ThreadPoolExecutor(1) as pool, publisher:
        waiting = pool.submit(publisher.publish, "tea", "never")
        made[-1].asked.wait()
        publisher.close()
        with pytest.raises(PublishError, match="closed"):
            waiting.result()


def test_ctrl_c_takes_the_message_back() -> None:
    publisher, made = waiting_publisher()

    def interrupt() -> None:
        made[-1].asked.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell's background jobs, such as a test run, may ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with publisher:
        other = threading.Thread(target=interrupt)
        other.start()
        with pytest.raises(KeyboardInterrupt):
            publisher.publish("tea", "never")
        other.join()
        signal.signal(signal.SIGINT, before)
        made[-1].broker.is_there = True
        publisher.publish("tea", "later")
    assert len(made[-1].broker.given) == 1


def test_what_is_wrong_is_said_when_it_is_made() -> None:
    with pytest.raises(wsext.OptionError, match="memory://"):
        BlockingPublisher("memory://")
    with pytest.raises(wsext.OptionError, match="retian"):
        BlockingPublisher("redis://localhost?retian=5")
    assert not ours()


FORK = """
import os, sys, threading
from wsext import BlockingPublisher

publisher = BlockingPublisher(sys.argv[1])
publisher.publish("tea", "parent before")
busy = threading.Thread(target=lambda: [publisher.publish("busy", str(n)) for n in range(50)])
busy.start()
for child in range(3):
    pid = os.fork()
    if not pid:
        publisher.publish("tea", f"child {child}")
        publisher.publish("tea", f"child {child} again")
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
busy.join()
publisher.publish("tea", "parent after")
said = [message.data for message in publisher.history("tea", 100)]
children = [f"child {n}{again}" for n in range(3) for again in ("", " again")]
assert said == ["parent before", *children, "parent after"], said
assert len(publisher.history("busy", 100)) == 50
"""

END = """
import sys, threading
from wsext import BlockingPublisher, PublishError

publisher = BlockingPublisher(sys.argv[1], timeout=60)

def speak():
    try:
        publisher.publish("tea", "waits")
    except PublishError:
        pass

publisher.history("tea", 0)
threading.Thread(target=speak, daemon=True).start()
"""


def test_the_child_of_a_fork_connects_anew(redis: brokers.Broker) -> None:
    # Python 3.12 warns of every fork with threads; the publisher's own is left behind.
    run(FORK, redis.url, "-W", "ignore:This process:DeprecationWarning")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_program_ends_without_closing_it(redis: brokers.Broker, is_there: bool) -> None:
    if not is_there:
        redis.kill()
    run(END, f"{redis.url}&timeout=0.5")


def run(program: str, url: str, *flags: str) -> None:
    """Run a program to its end, which is soon."""
    command = [sys.executable, "-W", "error", *flags, "-c", program, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "is away" not in line], done.stderr
