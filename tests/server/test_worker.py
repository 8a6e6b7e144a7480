"""A worker, run in this process: what a supervisor tells it, and what it answers.

Processes that come, go and die are in `tests.server.test_supervisor`; the features of a server in a
worker are in `tests.server.test_hosting`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.raw import RawPeer
from tests.server.apps import echo_app
from tests.waiting import until
from wsext import App, LifespanError, Session
from wsext.server.board import Board
from wsext.server.worker import Ready, run_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")


class Told:
    """A worker that runs, and the supervisor's end of its channel."""

    def __init__(self, channel: socket.socket, board: Board, work: asyncio.Task[None]) -> None:
        self.channel = channel
        self.board = board
        self.work = work
        self.ready: Ready

    async def connect(self) -> RawPeer:
        """Hand a connection over; the client's end."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.channel, [b"c"], [theirs.fileno()])
        return RawPeer(*await asyncio.open_connection(sock=ours))


@asynccontextmanager
async def worker(
    app: App, channel: tuple[socket.socket, socket.socket] | None = None
) -> AsyncIterator[Told]:
    ours, theirs = channel or socket.socketpair()
    ours.setblocking(False)
    board = Board.send(ours)
    work = asyncio.create_task(run_worker(app, theirs.detach(), None))
    told = Told(ours, board, work)
    with ours:
        line = await asyncio.get_running_loop().sock_recv(ours, 4096)
        told.ready = msgspec.json.decode(line, type=Ready)
        yield told
        async with asyncio.timeout(5):
            await work


async def test_it_says_what_it_has_and_serves_what_it_is_handed() -> None:
    app = echo_app(drain_timeout=3)
    app.install("permessage-deflate")
    async with worker(app) as told:
        assert (told.ready.extensions, told.ready.drain) == (["permessage-deflate"], 3)
        peer = await told.connect()
        assert (await peer.shake()).startswith("HTTP/1.1 101 ")
        told.channel.send(b"s")
        assert await peer.close_code() == 1001
        peer.writer.close()


async def test_it_retires_with_1012_after_the_handshakes() -> None:
    async with worker(echo_app()) as told:
        peer = await told.connect()
        told.channel.send(b"r")
        assert (await peer.shake()).startswith("HTTP/1.1 101 ")
        assert await peer.close_code() == 1012
        peer.writer.close()


async def test_it_drains_when_its_supervisor_is_gone() -> None:
    async with worker(echo_app()) as told:
        peer = await told.connect()
        await peer.shake()
        told.channel.close()
        assert await peer.close_code() == 1001
        peer.writer.close()


async def test_it_aborts_what_does_not_end() -> None:
    app = App()

    @app.websocket("/")
    async def stuck(session: Session) -> None:
        await session.wait_closed()

    async with worker(app) as told:
        peer = await told.connect()
        await peer.shake()
        told.channel.send(b"s")
        assert await peer.close_code() == 1001  # and it is not answered
        told.channel.send(b"a")
        assert await peer.frame() is None
        peer.writer.close()


async def test_it_gives_signs_of_life_and_writes_down_whom_it_serves() -> None:
    async with worker(echo_app()) as told:
        board = told.board
        first = board.beats
        await until(lambda: board.beats > first)
        peer = await told.connect()
        await until(lambda: (board.connections, board.sessions) == (1, 0))
        await peer.shake()
        assert (board.connections, board.sessions) == (1, 1)
        peer.writer.transport.abort()
        await until(lambda: (board.connections, board.sessions) == (0, 0))
        refused = await told.connect()
        assert (await refused.shake(path="/nowhere")).startswith("HTTP/1.1 404 ")
        refused.writer.transport.abort()
        await until(lambda: (board.connections, board.sessions) == (0, 0))
        told.channel.send(b"s")


async def test_a_connection_that_was_taken_back_is_no_matter() -> None:
    ours, theirs = socket.socketpair()
    with theirs.dup() as far_end:  # the supervisor's
        theirs.setblocking(False)
        async with worker(echo_app(), (ours, theirs)) as told:
            for _ in range(20):
                lost = await told.connect()
                try:
                    for number in socket.recv_fds(far_end, 1, 1)[1]:
                        os.close(number)
                except BlockingIOError:  # the worker was first
                    pass
                lost.writer.transport.abort()
            peer = await told.connect()
            await peer.shake()
            told.channel.send(b"s")
            assert await peer.close_code() == 1001
            peer.writer.close()


async def test_a_program_that_the_app_starts_inherits_no_connection() -> None:
    app = App()
    inherited: list[bool] = []

    @app.websocket("/")
    async def handler(session: Session) -> None:
        sock = session.request.transport.get_extra_info("socket")
        inherited.append(os.get_inheritable(sock.fileno()))

    async with worker(app) as told:
        peer = await told.connect()
        await peer.shake()
        assert await peer.close_code() == 1000
        peer.writer.close()
        told.channel.send(b"s")
    assert inherited == [False]


async def test_it_runs_the_lifespans_and_retires_when_a_task_fails() -> None:
    notes: list[str] = []
    app = echo_app()
    due = asyncio.Event()

    async def fail() -> None:
        await due.wait()
        raise LookupError("no prices")

    @app.lifespan
    async def prices(app: App) -> AsyncIterator[None]:
        notes.append("+")
        app.create_task(fail(), name="prices")
        yield
        notes.append("-")

    serving = worker(app)
    told = await serving.__aenter__()
    assert notes == ["+"]
    peer = await told.connect()
    await peer.shake()
    due.set()
    assert await peer.close_code() == 1012  # the supervisor starts another worker
    peer.writer.close()
    with pytest.raises(LifespanError, match="task prices failed"):
        await serving.__aexit__(None, None, None)
    assert notes == ["+", "-"]
