"""Who gets the next connection."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator

import pytest

from tests.waiting import until
from wsext.runtime import net
from wsext.server.dealing import Dealer
from wsext.server.handing import ForOperator


class Taker:
    """Takes connections, as long as it has room."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.names: list[int] = []  # the clients' ports

    def give(self, connection: socket.socket) -> bool:
        if len(self.names) >= self.room:
            return False
        self.names.append(connection.getpeername()[1])
        return True


class Clients:
    """Clients that have sent something, as those of HTTP do."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def connect(self, count: int) -> None:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port))
            sock.send(b"GET")
            self._sockets.append(sock)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    (sock,) = net.bind("127.0.0.1", 0, None, 100)
    with sock:
        yield sock


@pytest.fixture
def clients(listener: socket.socket) -> Iterator[Clients]:
    made = Clients(listener.getsockname()[1])
    yield made
    made.close()


async def test_each_gets_as_many_as_the_others(listener: socket.socket, clients: Clients) -> None:
    one, two = Taker(), Taker()
    dealer = Dealer([listener])
    dealer.set_takers([one])
    dealer.add(two)
    dealer.add(two)  # it is there already
    dealer.start()
    clients.connect(10)
    await until(lambda: len(one.names) + len(two.names) == 10)
    assert (len(one.names), len(two.names)) == (5, 5)
    dealer.remove(two)
    assert (one in dealer, two in dealer) == (True, False)
    clients.connect(3)
    await until(lambda: len(one.names) == 8)
    assert len(two.names) == 5
    dealer.close()


async def test_connections_to_the_admin_port_are_told_from_others(
    listener: socket.socket, clients: Clients
) -> None:
    kinds = []

    class Told(Taker):
        def give(self, connection: socket.socket) -> bool:
            kinds.append(type(connection))
            return super().give(connection)

    (public,) = net.bind("127.0.0.1", 0, None, 5)
    dealer = Dealer([public], [listener])
    dealer.set_takers([taker := Told()])
    dealer.start()
    clients.connect(1)
    await until(lambda: len(taker.names) == 1)
    with socket.create_connection(public.getsockname()) as other:
        other.send(b"GET")
        await until(lambda: len(taker.names) == 2)
    assert kinds == [ForOperator, socket.socket]
    dealer.close()
    assert listener.fileno() == -1


async def test_what_one_worker_has_on_the_admin_port_is_asked_of_that_one(
    listener: socket.socket,
) -> None:
    takers = {1: Taker(), 2: Taker(0), 3: Taker()}
    dealer = Dealer([], [listener], takers.get)
    dealer.set_takers([takers[3]])
    dealer.start()
    asked = ("/x/1/", "/x/1/live?y", "/x/2/", "/x/9/", "/metrics", "/x/?a=/1/", "/x/10000/")
    with contextlib.ExitStack() as stack:
        for path in asked:
            sock = stack.enter_context(socket.create_connection(listener.getsockname()))
            sock.send(f"GET {path} HTTP/1.1\r\n".encode())
        await until(lambda: sum(len(taker.names) for taker in takers.values()) == len(asked))
    # Whoever answers instead of another one has nothing of that name.
    assert [len(taker.names) for taker in takers.values()] == [2, 0, 5]
    dealer.close()


async def test_what_nobody_takes_waits_for_who_comes(
    listener: socket.socket, clients: Clients
) -> None:
    dealer = Dealer([listener])
    full = Taker(2)
    dealer.set_takers([full])
    dealer.start()
    clients.connect(7)
    await until(lambda: len(full.names) == 2)
    late = Taker()
    dealer.add(late)
    await until(lambda: len(late.names) == 5)
    assert not set(full.names) & set(late.names)
    dealer.close()


async def test_what_was_accepted_before_is_dealt_out_and_dropped_at_the_end(
    listener: socket.socket,
) -> None:
    dealer = Dealer([listener])
    dealer.start()
    ours, theirs = socket.socketpair()
    with ours:
        dealer.hand_over(theirs)
        dealer.close()
        assert ours.recv(1) == b""
    assert listener.fileno() == -1


async def test_that_the_system_can_give_no_more_is_said_once(
    caplog: pytest.LogCaptureFixture, clients: Clients, listener: socket.socket
) -> None:
    class Exhausted:
        """A listening socket of a process that is out of descriptors."""

        family = socket.AF_UNIX
        tried = 0

        def fileno(self) -> int:
            return listener.fileno()

        def accept(self) -> None:
            self.tried += 1
            raise OSError(errno.EMFILE, "Too many open files")

        def close(self) -> None:
            """Nothing to close."""

    sock = Exhausted()
    dealer = Dealer([sock])  # type: ignore[list-item]
    with caplog.at_level(logging.ERROR, "wsext.workers"):
        dealer.start()
        clients.connect(1)
        await until(lambda: sock.tried >= 6)  # for the client still waits
    (message,) = caplog.messages
    assert message.startswith("cannot accept connections: [Errno 24] Too many open files")
    dealer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="only Linux keeps them back")
async def test_who_has_sent_nothing_is_not_dealt_out_yet(
    listener: socket.socket, clients: Clients
) -> None:
    taker = Taker()
    dealer = Dealer([listener])
    dealer.set_takers([taker])
    dealer.start()
    with socket.create_connection(listener.getsockname()) as silent:
        clients.connect(3)
        await until(lambda: len(taker.names) == 3)
        assert silent.getsockname()[1] not in taker.names
        silent.send(b"GET")
        await until(lambda: silent.getsockname()[1] in taker.names)
    dealer.close()
