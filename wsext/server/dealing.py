"""Who gets the next connection: a supervisor accepts it and deals it out to one of its workers."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from wsext.escape import get_logger
from wsext.runtime.rates import Rarely
from wsext.server.accepting import Acceptor
from wsext.server.handing import ForOperator

__all__ = ["Dealer", "Taker"]

logger = get_logger("wsext.workers")

#: Seconds without accepting when nobody can take more.
_NO_TAKER = 0.01

#: Seconds for which the system keeps a connection that has sent nothing, where it can (Linux). What
#: is handed to a worker is then read at once, and few handshakes are lost if the worker dies.
_DEFERRED = 1


class Taker(Protocol):
    """Who takes connections."""

    def give(self, connection: socket.socket) -> bool:
        """Hand a connection over; ``False`` if this one takes no more now."""


class Dealer:
    """Accepts connections, and hands each one to the next who takes it.

    While nobody does, no more are accepted: they wait in the system's queue.

    Args:
        sockets: What connections are accepted from.
        admin: The same for the admin port.
        find: The taker of a number, for what is asked of that one alone; ``None`` if there is none.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        admin: Sequence[socket.socket] = (),
        find: Callable[[int], Taker | None] = lambda number: None,
    ) -> None:
        self._sockets = list(sockets)
        self._admin = list(admin)
        self._find = find
        self._takers: deque[Taker] = deque()  # the next to get a connection is the first
        self._waiting: deque[socket.socket] = deque()  # connections that nobody could take yet
        self._complain = Rarely(logger.error)
        self._acceptors: list[Acceptor] = []
        self._resuming: asyncio.TimerHandle | None = None
        for sock in (*self._sockets, *self._admin):
            is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
            if is_tcp and hasattr(socket, "TCP_DEFER_ACCEPT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFERRED)

    def __contains__(self, taker: Taker) -> bool:
        return taker in self._takers

    def set_takers(self, takers: Iterable[Taker]) -> None:
        """Deal to these, and to nobody else."""
        self._takers = deque(takers)

    def add(self, taker: Taker) -> None:
        """Deal to this one, too."""
        if taker not in self._takers:
            self._takers.append(taker)

    def remove(self, taker: Taker) -> None:
        """Deal no more to this one."""
        if taker in self._takers:
            self._takers.remove(taker)

    def hand_over(self, connection: socket.socket) -> None:
        """Deal out a connection that was accepted."""
        self._waiting.append(connection)
        self._deal()

    def _admit(self, connection: socket.socket) -> None:
        """Hand a connection to the admin port to the worker whose page is asked for, or to any."""
        asking = ForOperator(fileno=connection.detach())
        number = asking.worker
        taker = None if number is None else self._find(number)
        if taker is not None and taker.give(asking):
            asking.close()
        else:  # whoever answers has no page of that number
            self.hand_over(asking)

    def start(self) -> None:
        """Accept connections from now on."""
        for sockets, take in ((self._sockets, self.hand_over), (self._admin, self._admit)):
            if sockets:  # each has a file descriptor in reserve
                self._acceptors.append(Acceptor(sockets, take, b"", self._complain))
        self._deal()

    def close(self) -> None:
        """Accept no more, and drop what waits."""
        if self._resuming is not None:
            self._resuming.cancel()
        for acceptor in self._acceptors:
            acceptor.close()
        for sock in (*self._sockets, *self._admin, *self._waiting):
            sock.close()

    def _deal(self) -> None:
        while self._waiting:
            if not self._find_taker(self._waiting[0]):
                self._pause()
                return
            self._waiting.popleft().close()

    def _find_taker(self, connection: socket.socket) -> bool:
        for _ in range(len(self._takers)):
            taker = self._takers[0]
            self._takers.rotate(-1)
            if taker.give(connection):
                return True
        return False

    def _pause(self) -> None:
        """Leave connections in the system's queue until somebody takes those that wait here."""
        if self._acceptors and self._resuming is None:
            for acceptor in self._acceptors:
                acceptor.stop()
            self._resuming = asyncio.get_running_loop().call_later(_NO_TAKER, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._deal()
        if self._resuming is None:
            for acceptor in self._acceptors:
                acceptor.resume()
