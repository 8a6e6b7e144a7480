"""Where a server's connections come from: listening sockets, or whoever accepts for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from wsext.escape import get_logger
from wsext.runtime import net
from wsext.runtime.rates import Rarely
from wsext.server.accepting import Acceptor, refuse

__all__ = ["Listening", "Source"]

logger = get_logger("wsext.server")

#: What those are told in plain HTTP whose request is not even read.
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n"
)


class Source(Protocol):
    """Where connections come from."""

    def close(self) -> None:
        """Let no more come."""


class Listening:
    """The sources of a server's connections, and its addresses.

    Args:
        take: Gets every connection that is accepted.
        secure: Whether TLS is spoken.
        backlog: Connections that may wait to be accepted.
    """

    def __init__(self, take: Callable[[socket.socket], None], secure: bool, backlog: int) -> None:
        self._take = take
        self._secure = secure
        self._backlog = backlog
        self._refusal = b"" if secure else _FULL
        self._complain = Rarely(logger.warning)
        self._sources: list[Source] = []
        self._sockets: list[socket.socket] = []
        self._paths: dict[str, int] = {}  # of Unix sockets, with their inodes
        #: The first address: ``ws://host:port`` or ``ws+unix:path``; ``None`` without one.
        self.url: str | None = None
        #: The first TCP port; ``None`` without one.
        self.port: int | None = None

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The listening sockets."""
        return list(self._sockets)

    def listen(
        self,
        host: str | Sequence[str] | None,
        port: int,
        uds: str | None,
        sock: socket.socket | None,
        reuse_port: bool,
    ) -> None:
        """Start to listen; see `serve`."""
        if sock is None:
            sockets = net.bind(host, port, uds, self._backlog, reuse_port)
        else:
            sock.listen(self._backlog)
            sock.setblocking(False)
            sockets = [sock]
        if uds is not None:
            self._paths[uds] = os.stat(uds).st_ino
        self.add(Acceptor(sockets, self._take, self._refusal, self._complain))
        self._sockets += sockets
        for listener in sockets:
            if self.url is None:
                self.url = net.url_of(listener, self._secure)
            if self.port is None and listener.family != socket.AF_UNIX:
                self.port = int(listener.getsockname()[1])

    def refuse(self, sock: socket.socket) -> None:
        """Close a connection for which there is no place."""
        self._complain("connections are refused, for there are too many")
        refuse(sock, self._refusal)

    def add(self, source: Source) -> None:
        """Close this, too, when the server has drained."""
        self._sources.append(source)

    def close(self) -> None:
        """Let no more connections come."""
        for source in self._sources:
            source.close()
        self._sockets.clear()
        for path, number in self._paths.items():
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == number:  # else another server listens there by now
                    os.remove(path)
