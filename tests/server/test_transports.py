"""When the TLS handshakes of accepted connections begin, and who gives way."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.raw import contexts
from tests.waiting import until
from wsext.server.transports import Transports


class Served(asyncio.Protocol):
    """The server's side of a connection."""

    transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


class Peers:
    """Connections whose server side is made into transports."""

    def __init__(self, timeout: float, secure: bool) -> None:
        self.own, self.context = contexts()
        self.transports = Transports(self.own if secure else None, timeout)
        self.served: list[Served] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.sockets: list[socket.socket] = []

    def open(self, data: bytes = b"") -> tuple[socket.socket, asyncio.Task[None]]:
        """A client that sends this and nothing more, and the task that serves it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        served = Served()
        self.served.append(served)
        ours.sendall(data)
        task = asyncio.get_running_loop().create_task(self.transports.connect(served, theirs))
        self.sockets += ours, theirs
        self.tasks.append(task)
        return ours, task

    async def shake(self) -> None:
        """A client that does what it has to."""
        ours, task = self.open()
        _, writer = await asyncio.open_connection(
            sock=ours, ssl=self.context, server_hostname="localhost"
        )
        await task
        writer.transport.abort()

    def hello(self) -> bytes:
        """The first message of a TLS client."""
        sent = ssl.MemoryBIO()
        client = self.context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        return sent.read()


@asynccontextmanager
async def peers(seconds: float = 4.0, secure: bool = True) -> AsyncIterator[Peers]:
    made = Peers(seconds, secure)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    for served in made.served:
        if served.transport is not None:
            served.transport.abort()
    await asyncio.sleep(0)  # aborted transports close their sockets
    for sock in made.sockets:
        sock.close()


async def test_without_tls_a_transport_is_there_at_once() -> None:
    async with peers(secure=False) as made:
        _, task = made.open()
        await task


async def test_one_ticket_is_enough_to_come_back_with() -> None:
    peers = Peers(5, True)
    assert peers.own.num_tickets == 1
    session, reused = None, []
    for _ in range(2):
        ours, task = peers.open()
        ours.setblocking(True)
        client = await asyncio.to_thread(
            peers.context.wrap_socket, ours, server_hostname="localhost", session=session
        )
        with client:
            await task
            transport = peers.served[-1].transport
            transport.write(b"behind the ticket")
            await asyncio.to_thread(client.recv, 100)
            session = client.session
            reused.append(client.session_reused)
            transport.abort()
    assert reused == [False, True]


async def test_who_says_nothing_takes_nobodys_turn_and_is_dropped_in_time() -> None:
    async with peers() as made:
        silent = [made.open()[1] for _ in range(300)]
        await made.shake()
        assert not any(task.done() for task in silent)
    async with peers(seconds=0.05) as made:
        tasks = [made.open()[1] for _ in range(50)]
        await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), OSError) for task in tasks)


@pytest.mark.parametrize("share", [1, 60, 10_000])
async def test_who_begins_and_does_not_go_on_gives_way_to_others(share: int) -> None:
    async with peers() as made:
        stuck = [made.open(made.hello()[:share])[1] for _ in range(130)]
        await made.shake()
        await until(lambda: any(task.done() for task in stuck))
        assert sum(task.done() for task in stuck) <= 102  # nobody waits for more
        await made.shake()


async def test_those_who_wait_may_leave() -> None:
    async with peers() as made:
        for _ in range(100):
            made.open(made.hello())
        waiting = [made.open(made.hello())[1] for _ in range(20)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await made.shake()


async def test_who_fails_makes_room_at_once(caplog: Any) -> None:
    async with peers() as made:
        for data in (b"GET / HTTP/1.1\r\n\r\n", made.hello()[:50], made.hello(), b""):
            client, task = made.open(data)
            client.shutdown(socket.SHUT_WR)
            await asyncio.wait([task])
            assert isinstance(task.exception(), OSError)
        await made.shake()
    assert not caplog.records


@pytest.mark.parametrize("end", ["is no TLS", "leaves", "takes too long"])
async def test_what_a_failed_handshake_held_is_freed_at_once(end: str) -> None:
    """By reference counting alone: TLS holds a quarter of a megabyte for each connection."""
    gc.collect()
    gc.disable()
    try:
        async with peers(seconds=0.05 if end == "takes too long" else 4.0) as made:
            client, task = made.open(b"GET /" if end == "is no TLS" else made.hello()[:50])
            if end != "takes too long":
                client.shutdown(socket.SHUT_WR)
            await asyncio.wait([task])
            assert isinstance(task.exception(), OSError)
            served = weakref.ref(made.served.pop())
            made.tasks.remove(task)
            del task
            await asyncio.sleep(0)  # the transport closes its socket
            assert served() is None
    finally:
        gc.enable()
