"""The asyncio server: listens, counts connections and sessions, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl as ssl_module
from collections.abc import Generator, Sequence
from typing import Any

from wsext import net
from wsext.accept import HandshakeProtocol
from wsext.app import App, new_event_loop
from wsext.errors import HandshakeRejected
from wsext.link import Timers
from wsext.protocol.agreement import Negotiation, NegotiationContext
from wsext.protocol.frames import CloseCode
from wsext.protocol.http import Request
from wsext.protocol.negotiation import find_missing
from wsext.sdk.installed import Installed
from wsext.session import Session
from wsext.settings import WebSocketOptions

__all__ = ["Server", "serve"]

logger = logging.getLogger("wsext.server")


class Server:
    """A running server; made by `serve`.

    Attributes:
        app: The application.
        draining: Whether it is shutting down: handshakes are answered with 503.
    """

    def __init__(
        self,
        app: App,
        ssl: ssl_module.SSLContext | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.app = app
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.timers: Timers = timers or self.loop
        self._ssl = ssl
        self._listeners: list[asyncio.Server] = []
        self._uds: str | None = None
        self._address: tuple[str, int] | None = None
        self._connections: set[HandshakeProtocol] = set()
        self._sessions: dict[Session, HandshakeProtocol] = {}
        self._idle: asyncio.Future[None] | None = None
        self._closed = self.loop.create_future()
        app.hub.hold(self)

    # --- addresses ----------------------------------------------------------------------------

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""
        return [sock for listener in self._listeners for sock in listener.sockets]

    @property
    def port(self) -> int:
        """The TCP port.

        Raises:
            RuntimeError: If it listens on a Unix socket or not at all.
        """
        if self._address is None:
            raise RuntimeError("the server does not listen on TCP")
        return self._address[1]

    @property
    def url(self) -> str:
        """The address for clients: ``ws://host:port``, or ``ws+unix:path``.

        Raises:
            RuntimeError: If it does not listen.
        """
        if self._uds is not None:
            return f"ws+unix:{self._uds}"
        scheme = "ws" if self._ssl is None else "wss"
        port = self.port
        host = self._address[0] if self._address else ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions now."""
        return frozenset(self._sessions)

    # --- connections --------------------------------------------------------------------------

    async def listen(
        self,
        host: str | Sequence[str] | None,
        port: int,
        *,
        uds: str | None = None,
        sock: socket.socket | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Start to listen; see `serve`."""
        self.app.prepare()
        await self.app.hub.start()

        def factory() -> HandshakeProtocol:
            return HandshakeProtocol(self)

        backlog = self.app.server_options.backlog
        if uds is not None:
            self._uds = uds
            listener = await net.create_unix_server(factory, uds, ssl=self._ssl, backlog=backlog)
        elif sock is not None:
            listener = await net.create_server(factory, sock=sock, ssl=self._ssl, backlog=backlog)
        else:
            listener = await net.create_server(
                factory, host, port, ssl=self._ssl, backlog=backlog, reuse_port=reuse_port or None
            )
        self._listeners.append(listener)
        for bound in listener.sockets:
            if bound.family in (socket.AF_INET, socket.AF_INET6) and self._address is None:
                name = bound.getsockname()
                self._address = str(name[0]), int(name[1])

    def admit(self, connection: HandshakeProtocol) -> bool:
        """Count a new connection; ``False`` if there are too many."""
        limit = self.app.server_options.max_connections
        if limit is not None and len(self._connections) >= limit:
            if len(self._connections) >= limit + 1024 and connection.transport is not None:
                connection.transport.abort()  # even polite refusals have an end
            self._connections.add(connection)
            return False
        self._connections.add(connection)
        return True

    def release(self, connection: HandshakeProtocol) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._check_idle()

    def start_session(self, connection: HandshakeProtocol, session: Session) -> None:
        """A handshake has become a session."""
        self._sessions[session] = connection

    def end_session(self, connection: HandshakeProtocol, session: Session) -> None:
        """A session's handler is done."""
        self._sessions.pop(session, None)
        self.release(connection)

    def negotiate(
        self, request: Request, options: WebSocketOptions, installed: Installed
    ) -> Negotiation:
        """Negotiate extensions for a request.

        Raises:
            HandshakeRejected: 400 if a required extension is not agreed.
        """
        ctx = NegotiationContext("server", options.max_message_size, request)
        negotiation = installed.negotiate(
            request, ctx, prefer=options.prefer, max_offers=self.app.server_options.max_offers
        )
        missing = find_missing(installed.required, negotiation)
        if missing is not None:
            negotiation.close()
            raise HandshakeRejected(400, f"the extension {missing} is required here")
        return negotiation

    # --- the end ------------------------------------------------------------------------------

    def _check_idle(self) -> None:
        if not self._sessions and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # a drain time
        """Drain: refuse handshakes with 503, close sessions with 1001, wait, abort the rest.

        Args:
            timeout: Seconds that sessions get to end; by default ``drain_timeout``.
        """
        if self.draining:
            await self.wait_closed()
            return
        self.draining = True
        if timeout is None:
            timeout = self.app.server_options.drain_timeout
        if timeout > 0:  # what was said in rooms before gets to members that read
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.hub.flush(), timeout / 2)
        for session in self.sessions:
            session.close_nowait(CloseCode.GOING_AWAY, "server is shutting down")
        if self._sessions and timeout > 0:
            self._idle = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle, timeout)
        for listener in self._listeners:
            listener.close()
        await self._abort_rest()
        await self.app.hub.let_go(self)
        if not self._closed.done():
            self._closed.set_result(None)

    async def _abort_rest(self) -> None:
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()
        for session in self.sessions:
            logger.warning("session %s did not end in time; aborted", session.id)
            session.abort()
        tasks = [task for connection in set(self._sessions.values()) if (task := connection.task)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def wait_closed(self) -> None:
        """Wait until `close` is done."""
        await asyncio.shield(self._closed)

    async def serve_forever(self) -> None:
        """Serve until cancelled, then drain."""
        try:
            await self.wait_closed()
        finally:
            await self.close()


class serve:
    """Start a server: ``server = await serve(app)``, or ``async with serve(app) as server``.

    Args:
        app: The application.
        host: Address or addresses to listen on; ``None`` for all interfaces.
        port: TCP port; 0 for any free one (see `Server.port`).
        uds: Path of a Unix socket to listen on instead.
        sock: A bound socket to listen on instead.
        ssl: A TLS context.
        reuse_port: Let several processes listen on the port.

    Raises:
        OptionError, PluginError: If the app asks for what cannot be.
        OSError: If the address cannot be listened on.
    """

    def __init__(
        self,
        app: App,
        host: str | Sequence[str] | None = "127.0.0.1",
        port: int = 0,
        *,
        uds: str | None = None,
        sock: socket.socket | None = None,
        ssl: ssl_module.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._app = app
        self._where: tuple[Any, int] = (host, port)
        self._how: dict[str, Any] = {"uds": uds, "sock": sock, "reuse_port": reuse_port}
        self._ssl = ssl
        self._server: Server | None = None

    async def _start(self) -> Server:
        self._server = Server(self._app, self._ssl)
        await self._server.listen(*self._where, **self._how)
        return self._server

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            await self._server.close()


async def serve_until_signal(app: App, host: Any, port: int, **serving: Any) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal ends at once."""
    started = serving.pop("started", None)
    server = await serve(app, host, port, **serving)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            loop.create_task(server.close(0)) if not server.draining else None
            for session in server.sessions:
                session.abort()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signal handlers
            loop.add_signal_handler(number, on_signal)
    if started is not None:
        started(server)
    await stop.wait()
    logger.info("draining %d sessions", len(server.sessions))
    await server.close()


def run_until_signal(app: App, host: Any, port: int, **serving: Any) -> None:
    """`serve_until_signal` on a new event loop; uvloop when it is installed."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve_until_signal(app, host, port, **serving))
