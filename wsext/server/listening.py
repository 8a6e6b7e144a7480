"""Where a server's connections come from: listening sockets, or whoever accepts for it."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wsext.escape import get_logger
from wsext.runtime import net

__all__ = ["Listening", "Source"]

logger = get_logger("wsext.server")


class Source(Protocol):
    """Where connections come from; an `asyncio.Server` is one."""

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""

    def close(self) -> None:
        """Let no more come."""


class Listening:
    """The sources of a server's connections, and its addresses.

    Args:
        factory: Makes the protocol of a new connection.
        ssl: A TLS context.
        backlog: Connections that may wait to be accepted.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        ssl: ssl_module.SSLContext | None,
        backlog: int,
    ) -> None:
        self._factory = factory
        self._ssl = ssl
        self._backlog = backlog
        self._sources: list[Source] = []
        self._setting_up: set[asyncio.Task[None]] = set()
        #: The first address: ``ws://host:port`` or ``ws+unix:path``; ``None`` without one.
        self.url: str | None = None
        #: The first TCP port; ``None`` without one.
        self.port: int | None = None

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""
        return [sock for source in self._sources for sock in source.sockets]

    @property
    def is_setting_up(self) -> bool:
        """Whether a connection was taken and has not begun yet, because of its TLS handshake."""
        return bool(self._setting_up)

    async def listen(
        self,
        host: str | Sequence[str] | None,
        port: int,
        uds: str | None,
        sock: socket.socket | None,
        reuse_port: bool,
    ) -> None:
        """Start to listen; see `serve`."""
        options: dict[str, Any] = {"ssl": self._ssl, "backlog": self._backlog}
        source: Source
        if uds is not None or (sock is not None and sock.family == socket.AF_UNIX):
            source = await net.create_unix_server(self._factory, uds, sock=sock, **options)
        elif sock is not None:
            source = await net.create_server(self._factory, sock=sock, **options)
        else:
            options["reuse_port"] = reuse_port or None
            source = await net.create_server(self._factory, host, port, **options)
        self.add(source)
        bound = source.sockets[0]
        if self.url is None:
            self.url = net.url_of(bound, self._ssl is not None)
        if self.port is None and bound.family != socket.AF_UNIX:
            self.port = int(bound.getsockname()[1])

    def add(self, source: Source) -> None:
        """Close this, too, when the server has drained."""
        self._sources.append(source)

    def take(self, sock: socket.socket) -> None:
        """Serve a connection that somebody else has accepted."""
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._set_up(sock))
        self._setting_up.add(task)
        task.add_done_callback(self._setting_up.discard)

    async def _set_up(self, sock: socket.socket) -> None:
        try:
            await net.connect_accepted_socket(self._factory, sock, ssl=self._ssl)
        except OSError as error:  # TLS errors are some
            logger.debug("connection could not be set up: %s", error)
            sock.close()

    def close(self) -> None:
        """Let no more connections come."""
        for source in self._sources:
            source.close()
