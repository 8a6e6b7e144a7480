"""What systemd is told, and when."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from wsext.server.notifying import Notifier


class Systemd:
    """Its end of the socket."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address.replace("@", "\0", 1))
        self.sock.setblocking(False)
        self.heard: list[str] = []

    def hear(self) -> list[str]:
        """All that was said until now."""
        try:
            while True:
                self.heard.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            return self.heard


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"@wsext-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")


@pytest.fixture
def systemd(address: str) -> Iterator[Systemd]:
    found = Systemd(address)
    yield found
    found.sock.close()


async def test_it_is_told_of_the_start_of_reloads_and_of_the_end(
    systemd: Systemd, address: str
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    notifier.ready()
    notifier.stopping()
    ready, reloading, reloaded, stopping = systemd.hear()
    assert (ready, reloaded, stopping) == ("READY=1", "READY=1", "STOPPING=1")
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
    assert found is not None
    assert before <= int(found[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


async def test_signs_of_life_come_twice_as_often_as_they_are_waited_for(
    systemd: Systemd, address: str
) -> None:
    watched = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(watched)
    notifier.ready()
    notifier.ready()
    begun = asyncio.get_running_loop().time()
    await until(lambda: systemd.hear().count("WATCHDOG=1") == 4)
    assert asyncio.get_running_loop().time() - begun >= 0.055


async def test_nobody_else_is_watched_and_without_a_socket_nothing_is_said(
    systemd: Systemd, address: str
) -> None:
    Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).ready()
    Notifier({"WATCHDOG_USEC": "1"}).ready()
    assert systemd.hear() == ["READY=1"]


def test_a_socket_that_is_gone_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
    assert caplog.messages == ["systemd cannot be told STOPPING=1: No such file or directory"]
