"""What a worker tells of itself where its supervisor can still read it when the worker is dead."""

from __future__ import annotations

import mmap
import os
import socket
from tempfile import TemporaryFile

from wsext.runtime.net import receive_descriptors

__all__ = ["BEAT", "Board"]

#: Seconds between two signs of life.
BEAT = 0.25

_BEATS, _CONNECTIONS, _SESSIONS, _NUMBER, _NODE = range(5)


class Board:
    """A few counters in memory that a worker and its supervisor share.

    The worker writes, the supervisor reads. Nobody waits for the other, so it also tells of a
    worker that hangs, was stopped, or was killed.

    Args:
        descriptor: A file that holds the counters; it may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._counters = memoryview(mmap.mmap(descriptor, mmap.PAGESIZE)).cast("Q")

    @classmethod
    def send(cls, channel: socket.socket, number: int = 0, node: int = 0) -> Board:
        """A new board; the other end of the channel can `receive` it.

        Args:
            channel: Leads to the worker.
            number: The worker's; no other worker of the supervisor has or had it.
            node: The supervisor's, which it has drawn at random.
        """
        with TemporaryFile() as file:
            os.truncate(file.fileno(), mmap.PAGESIZE)
            board = cls(file.fileno())
            board._counters[_NUMBER], board._counters[_NODE] = number, node
            socket.send_fds(channel, [b"b"], [file.fileno()])
            return board

    @classmethod
    def receive(cls, channel: socket.socket) -> Board:
        """The board that was sent first of all on a channel."""
        (descriptor,) = receive_descriptors(channel)[1]
        try:
            return cls(descriptor)
        finally:
            os.close(descriptor)

    def beat(self) -> None:
        """Give a sign of life."""
        self._counters[_BEATS] += 1

    def write(self, connections: int, sessions: int) -> None:
        """Write down who is connected now."""
        self._counters[_CONNECTIONS] = connections
        self._counters[_SESSIONS] = sessions

    @property
    def number(self) -> int:
        """The worker's number."""
        return self._counters[_NUMBER]

    @property
    def node(self) -> int:
        """The supervisor's number."""
        return self._counters[_NODE]

    @property
    def beats(self) -> int:
        """The signs of life so far."""
        return self._counters[_BEATS]

    @property
    def connections(self) -> int:
        """The connections now, sessions or not; a stream of HTTP/2 counts as one."""
        return self._counters[_CONNECTIONS]

    @property
    def sessions(self) -> int:
        """The sessions now."""
        return self._counters[_SESSIONS]
