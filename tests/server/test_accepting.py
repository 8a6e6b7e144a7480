"""Accepting connections: when there are file descriptors, and when there are none."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.waiting import until
from wsext.runtime.loop import new_event_loop
from wsext.runtime.rates import Rarely
from wsext.server.accepting import (
    Acceptor,
    most_connections,
    raise_descriptor_limit,
    refuse,
)

resource = pytest.importorskip("resource")

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, new_event_loop])


@contextlib.contextmanager
def limited(soft: int) -> Iterator[None]:
    """The process may have only so many file descriptors."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """There is no file descriptor left."""
    free = os.dup(0)
    os.close(free)
    with limited(free):
        yield


class Log(list[str]):
    """Log lines."""

    def __call__(self, text: str, *values: object, stacklevel: int) -> None:
        self.append(text % values)


class Accepting:
    """A port, and what is accepted there."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self.listener = listener or socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(50)
        self.listener.setblocking(False)
        self.log = Log()
        self.taken: list[socket.socket] = []
        self.acceptor = Acceptor([self.listener], self.taken.append, b"no place", Rarely(self.log))

    def client(self) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self.listener.getsockname())
        return client

    async def read(self, client: socket.socket) -> bytes:
        return await asyncio.get_running_loop().sock_recv(client, 100)

    def close(self, *clients: socket.socket) -> None:
        self.acceptor.close()
        for sock in (*self.taken, *clients):
            sock.close()


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


@LOOPS
def test_connections_are_accepted_until_it_is_closed(loop: Any) -> None:
    async def work() -> None:
        port = Accepting()
        clients = [port.client() for _ in range(100)]
        await until(lambda: len(port.taken) == 100)
        port.close(*clients)
        assert port.listener.fileno() == -1
        assert port.log == []

    run(loop, work())


@LOOPS
def test_what_is_sent_to_a_connection_waits_for_no_acknowledgement(loop: Any) -> None:
    async def work() -> None:
        port = Accepting()
        client = port.client()
        await until(lambda: bool(port.taken))
        assert port.taken[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        port.close(client)

    run(loop, work())


@LOOPS
def test_without_file_descriptors_connections_are_refused_and_one_line_is_logged(loop: Any) -> None:
    async def work() -> None:
        port = Accepting()
        spare = [socket.socket() for _ in range(3)]
        for sock in spare:
            sock.setblocking(False)
        with no_descriptors():
            for client in spare:
                client.connect_ex(port.listener.getsockname())
                assert await port.read(client) == b"no place"
                assert await port.read(client) == b""
        assert port.log == ["connections are refused: [Errno 24] Too many open files"]
        late = port.client()
        await until(lambda: len(port.taken) == 1)  # it recovers by itself
        port.close(late, *spare)

    run(loop, work())


class Failing(socket.socket):
    """A listening socket for which the system has no means at first."""

    failures = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOBUFS, "no buffers")
        return super().accept()


@LOOPS
def test_after_other_errors_it_waits_a_little(loop: Any) -> None:
    async def work() -> None:
        listener = Failing()
        port = Accepting(listener)
        client = port.client()
        start = asyncio.get_running_loop().time()
        await until(lambda: len(port.taken) == 1)
        assert asyncio.get_running_loop().time() - start >= 0.29
        assert port.log == [f"cannot accept connections: [Errno {errno.ENOBUFS}] no buffers"]
        port.close(client)

    run(loop, work())


def test_a_pause_leaves_connections_where_they_are() -> None:
    async def work() -> None:
        port = Accepting()
        port.acceptor.pause(60)
        one = port.client()
        other = Accepting()
        another = other.client()
        await until(lambda: len(other.taken) == 1)  # the loop has had its turn meanwhile
        assert not port.taken
        port.acceptor.resume()
        await until(lambda: len(port.taken) == 1)
        port.close(one)
        other.close(another)

    run(asyncio.new_event_loop, work())


def test_an_event_loop_without_readers() -> None:
    class Loop(asyncio.SelectorEventLoop):
        """Like that of Windows."""

        def add_reader(self, *args: Any) -> None:
            raise NotImplementedError

    async def work() -> None:
        port = Accepting()
        client = port.client()
        await until(lambda: len(port.taken) == 1)
        port.close(client)
        await asyncio.sleep(0)

    run(Loop, work())


def test_a_refusal_is_read_before_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.send(b"GET / HTTP/1.1\r\n\r\n")
        refuse(theirs, b"no")
        assert ours.recv(10) == b"no"
        assert ours.recv(10) == b""
    ours, theirs = socket.socketpair()
    with ours:
        refuse(theirs, b"")
        assert ours.recv(10) == b""
        refuse(theirs, b"")  # it has gone


@pytest.mark.parametrize(
    ("soft", "wanted", "most", "refused"),
    [
        (256, 10_000, 156, 35),
        (256, 100, 100, 28),
        (1024, None, 839, 120),
        (20_000, 10_000, 10_000, 1024),
        (10, 10_000, 1, 16),
    ],
)
def test_file_descriptors_limit_the_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, wanted: int | None, most: int, refused: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, soft))
    assert most_connections(wanted) == (most, refused)


def test_without_a_limit_of_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (infinity, infinity))
    assert most_connections(None) == (None, 1024)
    assert most_connections(20) == (20, 18)


def test_the_limit_is_raised_as_far_as_it_may() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with limited(200):
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 1 << 20), hard)
