"""How an accepted socket becomes a transport: at once, or by a TLS handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import traceback
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from wsext.runtime import net

__all__ = ["Transports"]

#: TLS handshakes at the same time. Each takes up to 1 MB of memory.
_AT_ONCE = 48

#: The part of the time for a handshake that one keeps its slot, at least, when others wait.
_PATIENCE = 0.25


class Transports:
    """Makes the transports of a server's connections.

    Args:
        ssl: A TLS context, of which clients get at most one session ticket; ``None`` for plain
            connections.
        timeout: Seconds for a whole TLS handshake, with the time that it waits for its slot.
    """

    def __init__(self, ssl: ssl_module.SSLContext | None, timeout: float) -> None:
        self._ssl = ssl
        if ssl is not None:
            # One is enough to come back with. OpenSSL sends two, for browsers that open several
            # connections at once, and each takes a twentieth of the work of a handshake.
            ssl.num_tickets = min(ssl.num_tickets, 1)
        self._timeout = timeout
        self._connect = net.find_connector()
        self._slots = _Slots(timeout * _PATIENCE)

    @property
    def is_plain(self) -> bool:
        """Whether there is no TLS handshake to wait for."""
        return self._ssl is None

    def connect(
        self, protocol: asyncio.BaseProtocol, sock: socket.socket
    ) -> Coroutine[Any, Any, object]:
        """Connect a protocol to a socket that was accepted.

        Raises:
            OSError: If the peer has gone, or its TLS handshake fails or takes too long.
        """
        if self._ssl is None:
            return self._connect(lambda: protocol, sock)
        return self._shake_hands(protocol, sock)

    async def _shake_hands(self, protocol: asyncio.BaseProtocol, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout
        if self._slots.is_busy:
            async with asyncio.timeout_at(until):
                await _wait_for_data(sock)  # silence does not cost what TLS costs
                await self._slots.wait()
        with self._slots:
            timeout = max(until - loop.time(), 0.001)
            try:
                await net.connect_accepted_socket(
                    lambda: protocol, sock, ssl=self._ssl, ssl_handshake_timeout=timeout
                )
            except BaseException as error:
                # The traceback's frames have the future that has the error: a cycle, which would
                # keep the memory of TLS until the garbage collector comes.
                traceback.clear_frames(error.__traceback__)
                raise


async def _wait_for_data(sock: socket.socket) -> None:
    sock.setblocking(False)
    with suppress(BlockingIOError):  # mostly it is there: then the event loop is not asked
        sock.recv(1, socket.MSG_PEEK)
        return
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    with suppress(NotImplementedError):  # Windows
        loop.add_reader(sock, _wake, came)
        try:
            await came
        finally:
            loop.remove_reader(sock)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Slots:
    """Lets so many tasks in at the same time, and the newest of the others next.

    When others wait, a task that has been in for long is cancelled.

    Args:
        patience: How many seconds are long.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._running: OrderedDict[asyncio.Task[Any], float] = OrderedDict()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether so many are in that others should wait until they can use their slot."""
        return len(self._running) >= _AT_ONCE // 2

    async def wait(self) -> None:
        """Wait until a slot is free; it has to be taken at once."""
        if len(self._running) < _AT_ONCE:
            return
        waiter = self._loop.create_future()
        self._waiting[waiter] = None
        self._watch()
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiting.pop(waiter, waiter) is waiter:
                self._wake_next()  # a slot was free for it already
            raise

    def __enter__(self) -> None:
        self._running[_current_task()] = self._loop.time()

    def __exit__(self, *exc_info: object) -> None:
        if self._running.pop(_current_task(), None) is not None:
            self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting and len(self._running) < _AT_ONCE:
            _wake(self._waiting.popitem()[0])

    def _watch(self) -> None:
        if self._timer is None and self._running:
            since = next(iter(self._running.values()))
            self._timer = self._loop.call_at(since + self._patience, self._cancel_longest)

    def _cancel_longest(self) -> None:
        self._timer = None
        while self._waiting and self._running:
            task, since = next(iter(self._running.items()))
            if since + self._patience > self._loop.time():
                break
            del self._running[task]
            task.cancel()
            self._wake_next()
        if self._waiting:
            self._watch()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
