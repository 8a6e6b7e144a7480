"""A worker's process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from wsext.server.process import Ready, WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")


async def start(code: str) -> WorkerProcess:
    """A worker that runs this code, in which ``channel`` is its end."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        code = f"import socket\nchannel = socket.socket(fileno={number})\n{code}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, pass_fds=[number]
        )
    return WorkerProcess(process, ours)


async def test_it_says_when_it_is_ready_and_is_told_to_end() -> None:
    worker = await start(
        'channel.send(b\'{"extensions":["x"],\')\nchannel.send(b\'"drain":3}\\n\')\n'
        "raise SystemExit(channel.recv(1)[0])"
    )
    assert await worker.ready() == Ready(["x"], 3)
    assert not worker.expected
    worker.tell(b"s")
    assert worker.expected
    assert await worker.wait() == ord("s")
    worker.kill()  # it is dead already


async def test_one_that_ends_first_never_is_ready_and_takes_nothing() -> None:
    worker = await start("raise SystemExit(7)")
    assert await worker.ready() is None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not worker.give(theirs)
    worker.tell(b"s")
    assert await worker.wait() == 7


async def test_one_that_hangs_takes_no_more_and_is_killed_when_it_is_told_anything() -> None:
    worker = await start(
        'import time\nchannel.send(b\'{"extensions":[],"drain":1}\\n\')\ntime.sleep(60)'
    )
    assert await worker.ready() is not None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        while worker.give(theirs):
            pass
    worker.tell(b"s")
    assert await worker.wait() == -9
