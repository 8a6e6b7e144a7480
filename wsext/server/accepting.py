"""How connections are accepted, also when the system has nothing left to accept them with."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from wsext.runtime.rates import Rarely

__all__ = ["Acceptor", "most_connections", "raise_descriptor_limit", "refuse"]

#: File descriptors that connections do not get: the app, its files and brokers need some, too.
_RESERVED = 64

#: More file descriptors than this are for nobody; other programs may go through all of them.
_MILLION = 1 << 20

#: Connections beyond the limit that are answered, beside an eighth of the limit.
_REFUSED = 16

#: Connections that are accepted before others have their turn.
_AT_ONCE = 32

#: Seconds without accepting after the system could not give what a connection needs.
_NO_MEANS = 0.1

#: The errors that say that there is no file descriptor.
_OUT = (errno.EMFILE, errno.ENFILE)


def _descriptor_limit() -> int | None:
    """How many file descriptors the process may have; ``None`` if nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def raise_descriptor_limit() -> None:
    """Raise the limit of file descriptors as far as this process may, to a million at most.

    The soft limit is low only for programs that use ``select()``, which knows 1,024 descriptors.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            wanted = _MILLION if hard == resource.RLIM_INFINITY else min(hard, _MILLION)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def most_connections(wanted: int | None) -> tuple[int | None, int]:
    """How many connections are served, and how many more are told that there are too many.

    Args:
        wanted: The option ``max_connections``; there may be file descriptors for fewer only.

    Returns:
        The first number is ``None`` if there is no limit.
    """
    limit = _descriptor_limit()
    most = wanted
    if limit is not None:
        room = max((limit - _RESERVED - _REFUSED) * 8 // 9, 1)
        most = room if wanted is None else min(room, wanted)
    return most, 1024 if most is None else min(1024, _REFUSED + most // 8)


def refuse(sock: socket.socket, answer: bytes) -> None:
    """Close a connection for which there is no place.

    Args:
        sock: It does not wait, whatever its timeout was.
        answer: What is sent before; empty for nothing.
    """
    with sock, suppress(OSError):
        sock.setblocking(False)
        if answer:
            sock.send(answer)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65536)  # TCP resets a connection that is closed before all was read


class Acceptor:
    """Accepts the connections of listening sockets.

    One file descriptor is kept for when there are no others. A connection that comes then is
    accepted with it, gets the refusal, and is closed.

    Args:
        sockets: Listening sockets that do not block.
        take: Gets each connection.
        refusal: What a connection gets for which there is no file descriptor; empty for nothing.
        complain: Told when connections cannot be accepted.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        take: Callable[[socket.socket], None],
        refusal: bytes,
        complain: Rarely,
    ) -> None:
        self._sockets = sockets
        self._take = take
        self._refusal = refusal
        self._complain = complain
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Task[None]] = []
        self._resuming: asyncio.TimerHandle | None = None
        self._active = False
        self._spare: int | None = None
        for sock in sockets:
            if sock.family != getattr(socket, "AF_UNIX", None):
                # Connections inherit it. Transports set it only where a socket knows its protocol,
                # and the answer of a TLS handshake would wait 40 ms for an acknowledgement.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.resume()

    def resume(self) -> None:
        """Accept connections again."""
        self._active = True
        self._keep_spare()
        for sock in self._sockets:
            try:
                self._loop.add_reader(sock, self._accept, sock)
            except NotImplementedError:  # Windows
                self._waiting.append(self._loop.create_task(self._wait(sock)))

    def stop(self) -> None:
        """Leave connections in the system's queue."""
        self._active = False
        if self._resuming is not None:
            self._resuming.cancel()
        for task in self._waiting:
            task.cancel()
        if not self._waiting:
            for sock in self._sockets:
                self._loop.remove_reader(sock)
        self._waiting.clear()

    def pause(self, seconds: float) -> None:
        """Leave connections in the system's queue for some seconds."""
        self.stop()
        self._resuming = self._loop.call_later(seconds, self.resume)

    def close(self) -> None:
        """Listen no more."""
        self.stop()
        self._give_spare()
        for sock in self._sockets:
            sock.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection = self._accept_one(listener)
            except BlockingIOError:
                return  # nobody waits
            except OSError as error:
                self._complain("cannot accept connections: %s", error)
                self.pause(_NO_MEANS)
                return
            if connection is not None:
                self._take(connection)
            if not self._active:
                return

    def _accept_one(self, listener: socket.socket) -> socket.socket | None:
        """The next connection; ``None`` if it has gone or was refused."""
        try:
            return listener.accept()[0]
        except (ConnectionAbortedError, InterruptedError):
            return None
        except OSError as error:
            if error.errno not in _OUT or self._spare is None:
                raise
            self._give_spare()
            try:
                refuse(listener.accept()[0], self._refusal)
            finally:
                self._keep_spare()
            self._complain("connections are refused: %s", error)
            return None

    async def _wait(self, listener: socket.socket) -> None:
        while True:
            connection, _ = await self._loop.sock_accept(listener)
            self._take(connection)

    def _keep_spare(self) -> None:
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _give_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
