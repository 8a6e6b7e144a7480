"""What a worker tells of itself where its supervisor can still read it when the worker is dead."""

from __future__ import annotations

import faulthandler
import mmap
import os
import socket
from tempfile import TemporaryFile

from wsext.runtime.net import receive_descriptors

__all__ = ["BEAT", "Board"]

#: Seconds between two signs of life.
BEAT = 0.25

#: Bytes of last words that are read.
_MOST_WORDS = 1 << 16

_BEATS, _CONNECTIONS, _SESSIONS, _NUMBER, _NODE = range(5)


class Board:
    """A few counters in memory that a worker and its supervisor share, and a worker's last words.

    The worker writes, the supervisor reads. Nobody waits for the other, so it also tells of a
    worker that hangs, was stopped, or was killed.

    Args:
        descriptor: A file that holds the counters, and the last words behind them; it may be closed
            afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = os.dup(descriptor)
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

    def keep_last_words(self) -> None:
        """Have Python write here, and not to stderr, where it is when a signal ends the worker."""
        os.lseek(self._file, mmap.PAGESIZE, os.SEEK_SET)
        faulthandler.enable(self._file)

    @property
    def last_words(self) -> str:
        """Where the worker was when a signal ended it, thread by thread; empty if nobody knows."""
        return os.pread(self._file, _MOST_WORDS, mmap.PAGESIZE).decode("utf-8", "replace")

    def close(self) -> None:
        """Keep no file open any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

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
