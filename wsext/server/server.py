"""The asyncio server: starts, takes connections, drains."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable, Sequence
from typing import Any

from wsext import http2
from wsext.app.application import Application
from wsext.errors import LifespanError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.runtime.loop import start
from wsext.runtime.timers import Timers
from wsext.server.connections import Connections
from wsext.server.draining import drain, wait_for_handshakes
from wsext.server.exchange import Exchange
from wsext.server.handing import Note
from wsext.server.http1 import HandshakeProtocol, HTTP2Host, Successor
from wsext.server.listening import Listening, Source
from wsext.server.nodes import Nodes, name_of, new_node
from wsext.server.transports import Transports

__all__ = ["Server"]

logger = get_logger("wsext.server")

#: Seconds that pages on the admin port get to close, when all else has ended.
_LAST_PAGES = 0.5


class Server(Connections, HTTP2Host):
    """A running server; made by `serve`.

    Attributes:
        app: The application.
        draining: Whether it is shutting down: handshakes are answered with 503.
        http2: Whether HTTP/2 is spoken, too: the option is on and the package ``h2`` is installed.
        sessions: The sessions now.
        admin: What answers on the admin port, if there is one.
    """

    def __init__(
        self,
        app: Application,
        ssl: ssl_module.SSLContext | None = None,
        timers: Timers | None = None,
    ) -> None:
        super().__init__(app, timers)
        self.http2 = app.server_options.http2 and http2.is_available()
        self._make_http2: Callable[[HTTP2Host, Exchange], Successor] | None = None
        self._ssl = ssl
        self._transports = Transports(ssl, app.server_options.handshake_timeout)
        self._plain = Transports(None, app.server_options.handshake_timeout)
        self._listening = Listening(self.take, ssl is not None, app.server_options.backlog)
        if app.server_options.advertise is not None:
            self.worker = name_of(0, new_node())
        self._nodes: Nodes | None = None
        self.admin: Server | None = None
        self._started = False
        self._closed = self.loop.create_future()
        self._failure: LifespanError | None = None
        self._closing: asyncio.Task[None] | None = None
        #: Called when a task of the app has failed; has to see to it that the server ends.
        self.on_failure: Callable[[], None] = self.close_soon

    # --- addresses ----------------------------------------------------------------------------

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""
        return self._listening.sockets

    @property
    def port(self) -> int:
        """The TCP port.

        Raises:
            RuntimeError: If it listens on a Unix socket or not at all.
        """
        if self._listening.port is None:
            raise RuntimeError("the server does not listen on TCP")
        return self._listening.port

    @property
    def url(self) -> str:
        """The address for clients: ``ws://host:port``, or ``ws+unix:path``.

        Raises:
            RuntimeError: If it does not listen.
        """
        if self._listening.url is None:
            raise RuntimeError("the server does not listen")
        return self._listening.url

    # --- connections --------------------------------------------------------------------------

    async def start(self) -> None:
        """Do once what every server does before its first connection, wherever that comes from:
        check the app, offer HTTP/2 on TLS, start the backplane and the lifespans.

        Raises:
            OptionError, PluginError: If the app asks for what cannot be.
            LifespanError: If a lifespan of the app fails to start.
        """
        if self._started:
            return
        self._started = True
        try:
            await self._start()
        except BaseException:
            await self.close(0)
            raise

    async def _start(self) -> None:
        self.app.prepare()
        if self.http2:
            # Not when it is first spoken: those who are connected would wait for the import.
            from wsext.server.http2 import ServerConnection  # needs the package h2

            self._make_http2 = ServerConnection
            if self._ssl is not None:
                self._ssl.set_alpn_protocols(["h2", "http/1.1"])
        self._places.warn_if_capped()
        await self.app.life.begin(self, lambda: self.on_failure())
        if self.worker:
            self._nodes = Nodes(self.app.hub, self.worker, self.app.server_options.advertise)
            await self._nodes.tell()

    async def locate(self, worker: str) -> str | None:
        return None if self._nodes is None else await self._nodes.find(worker)

    async def listen(
        self,
        host: str | Sequence[str] | None,
        port: int,
        *,
        uds: str | None = None,
        sock: socket.socket | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Start, and listen; see `serve`."""
        await self.start()
        self._listening.listen(host, port, uds, sock, reuse_port)

    async def start_admin(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Answer on the admin port what `Application.admin` has; to the end of the last session.

        Args:
            sockets: What it listens on; none if somebody else accepts its connections.
        """
        self.admin = Server(self.app.admin)
        await self.admin.start()
        for sock in sockets:
            await self.admin.listen(None, 0, sock=sock)

    def add_listener(self, source: Source) -> None:
        """Close this, too, when the server has drained."""
        self._listening.add(source)

    def take(self, sock: socket.socket, note: Note | None = None) -> None:
        """Serve a connection that was accepted, here or by somebody else; it counts from now on.

        Args:
            sock: The connection.
            note: What another worker has read of it; there is no TLS any more then.
        """
        try:
            peername = sock.getpeername() if note is None else note.peername
        except OSError:  # it has gone already
            sock.close()
            return
        connection = self.new_connection(note)
        if connection.enter(peername):
            connection.set_up(sock, self._transports if note is None else self._plain)
        else:
            self._listening.refuse(sock)

    def new_connection(self, note: Note | None = None) -> HandshakeProtocol:
        """The protocol of one more connection."""
        return HandshakeProtocol(self, note)

    def make_http2(self, owner: Exchange) -> Successor:
        assert self._make_http2 is not None
        return self._make_http2(self, owner)

    # --- the end ------------------------------------------------------------------------------

    async def close(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # a drain time
        *,
        code: int = CloseCode.GOING_AWAY,
        reason: str = "server is shutting down",
    ) -> None:
        """Drain: refuse handshakes with 503, close sessions, wait, abort the rest; then end the
        tasks and the lifespans of the app.

        What has been received is handled first, for a quarter of the time; nothing more is read.

        Args:
            timeout: Seconds that sessions get to end; by default ``drain_timeout``. What is left
                of it is for tasks and lifespans; they get three seconds at least.
            code: What sessions are closed with.
            reason: The reason beside it.
        """
        if self.draining:
            await asyncio.shield(self._closed)
            return
        self.draining = True
        if self.admin is not None:
            self.admin.draining = True  # it says so, and goes on
        if timeout is None:
            timeout = self.app.server_options.drain_timeout
        await self._end(timeout, code, reason)
        if self.admin is not None:
            await self.admin._end(_LAST_PAGES, code, reason)
        if not self._closed.done():
            self._closed.set_result(None)

    async def _end(self, seconds: float, code: int, reason: str) -> None:
        until = self.loop.time() + seconds
        await drain(self, self._listening, seconds, code, reason)
        try:
            await self.app.life.end(self, until - self.loop.time())
        except LifespanError as error:
            self._failure = error

    def close_soon(self) -> None:
        """Begin to `close`, without waiting for it."""
        self._closing = self._closing or start(self.loop, self.close())

    def abort(self) -> None:
        super().abort()
        self.app.life.hurry()

    async def retire(self) -> None:
        """Drain with 1012, for another process takes over.

        Every connection that this one was given still gets its handshake answered.
        """
        await wait_for_handshakes(self)
        await self.close(code=CloseCode.SERVICE_RESTART, reason="server is restarting")

    async def wait_closed(self) -> None:
        """Wait until `close` is done.

        Raises:
            LifespanError: If the server ends because a task of the app has failed, or if a lifespan
                has failed to end.
        """
        await asyncio.shield(self._closed)
        if self._failure is not None:
            raise self._failure

    async def serve_forever(self) -> None:
        """Serve until cancelled, then drain."""
        try:
            await self.wait_closed()
        finally:
            await self.close()
