"""A worker's process as its supervisor sees it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.waiting import until
from wsext.server.handing import ForOperator
from wsext.server.process import Ready, WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")


#: What a worker does first: ``channel`` is its end, ``board`` its board.
PRELUDE = """
import select, signal, socket, sys, time
from wsext.server.board import Board
channel = socket.socket(fileno=int(sys.argv[1]))
board = Board.receive(channel)
def hear():  # the channel does not block, for both who read from it
    select.select([channel], [], [])
    return channel.recv(1)[0]
"""
READY = """channel.send(b'{"extensions":["x"],"drain":3}\\n')\n"""


@asynccontextmanager
async def running(code: str, *flags: str) -> AsyncIterator[WorkerProcess]:
    """A worker that runs this code, until the block ends."""
    worker = await WorkerProcess.start([sys.executable, *flags, "-c", PRELUDE + code])
    try:
        yield worker
    finally:
        worker.kill()
        await worker.wait()
        worker.close()


@asynccontextmanager
async def connections(count: int) -> AsyncIterator[list[socket.socket]]:
    """Connections to hand over; the clients' ends are closed at the end."""
    pairs = [socket.socketpair() for _ in range(count)]
    yield [theirs for _, theirs in pairs]
    for pair in pairs:
        for sock in pair:
            sock.close()


async def test_it_says_when_it_is_ready_and_is_told_to_end() -> None:
    async with running(
        'channel.send(b\'{"extensions":["x"],\')\nchannel.send(b\'"drain":3}\\n\')\n'
        "raise SystemExit(hear())"
    ) as worker:
        assert await worker.ready() == Ready(["x"], 3)
        assert not worker.expected
        worker.tell(b"s")
        assert worker.expected
        assert await worker.wait() == ord("s")
        worker.kill()  # it is dead already


async def test_one_that_ends_first_never_is_ready_and_takes_nothing() -> None:
    async with running("raise SystemExit(7)") as worker:
        assert await worker.wait() == 7
        assert await worker.ready() is None
        worker.close()
        async with connections(1) as (connection,):
            assert not worker.give(connection)
        worker.tell(b"s")


async def test_one_that_hangs_takes_no_more_and_is_killed_when_it_is_told_anything() -> None:
    async with running(READY + "time.sleep(60)") as worker:
        assert await worker.ready() is not None
        async with connections(1) as (connection,):
            while worker.give(connection):
                pass
        worker.tell(b"s")
        assert await worker.wait() == -9


async def test_what_it_has_not_picked_up_is_taken_back_and_only_that() -> None:
    async with running(
        READY + "select.select([channel], [], [])\nsocket.recv_fds(channel, 1, 1)\n"
        "board.beat()\ntime.sleep(60)"
    ) as worker:
        await worker.ready()
        async with connections(3) as given:
            for connection in given:
                assert worker.give(connection)
            await until(lambda: worker.look() == 0)
            back = list(worker.take_back())
            assert [os.fstat(sock.fileno()).st_ino for sock in back] == [
                os.fstat(sock.fileno()).st_ino for sock in given[1:]
            ]
            assert not list(worker.take_back())
            assert worker.give(given[0])
            worker.kill()
            assert await worker.wait() == -9
            back += worker.take_back()  # also after its death
            assert (len(back), worker.taken_back) == (3, 3)
            assert not any(sock.get_inheritable() for sock in back)  # by the workers to come
            for sock in back:
                sock.close()


async def test_what_is_taken_back_is_for_the_operator_if_it_was_before() -> None:
    async with connections(2) as (one, other), running(READY + "time.sleep(60)") as worker:
        await worker.ready()
        given = [one, ForOperator(fileno=os.dup(other.fileno()))]
        assert all(worker.give(connection) for connection in given)
        back = list(worker.take_back())
        assert [type(sock) for sock in back] == [socket.socket, ForOperator]
        for sock in (*back, given[1]):
            sock.close()


async def test_one_that_died_before_it_read_anything_leaves_nothing_to_take() -> None:
    worker = await WorkerProcess.start([sys.executable, "-c", ""])
    assert await worker.wait() == 0
    assert not list(worker.take_back())
    worker.close()


async def test_looks_without_a_sign_of_life_are_counted() -> None:
    async with running(READY + "hear()\nboard.beat()\nhear()") as worker:
        await worker.ready()
        assert [worker.look(), worker.look()] == [1, 2]
        worker.tell(b"x")
        await until(lambda: worker.look() == 0)
        assert worker.look() == 1
        worker.tell(b"x")
        assert await worker.wait() == 0


async def test_one_that_does_not_serve_yet_is_not_asked_to_stop(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with running("time.sleep(60)") as worker:
        worker.stop()
        assert worker.expected
        assert await worker.wait() == -9
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize("stopped", [False, True], ids=["busy", "stopped"])
async def test_one_that_is_given_up_says_where_it_was_if_it_can(
    stopped: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "def stuck():\n    while True: pass\nboard.keep_last_words()\nboard.beat()\nstuck()"
    async with running(code) as worker:
        await until(lambda: worker.look() == 0)
        if stopped:
            os.kill(worker.process.pid, signal.SIGSTOP)
        worker.give_up()
        assert await worker.wait() == (-signal.SIGKILL if stopped else -signal.SIGABRT)
        assert ("in stuck" in worker.board.last_words) is not stopped
        assert not capfd.readouterr().err


async def test_one_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):  # and what stayed open would be a ResourceWarning
        await WorkerProcess.start(["/there/is/no/such/command"])
