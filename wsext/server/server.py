"""The asyncio server: listens, counts connections and sessions, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl as ssl_module
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from wsext import http2
from wsext.app.application import Application
from wsext.errors import HandshakeRejected
from wsext.protocol.agreement import Negotiation, NegotiationContext
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import Request
from wsext.protocol.negotiation import find_missing
from wsext.runtime import net
from wsext.runtime.life import life_of
from wsext.runtime.loop import new_event_loop
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed
from wsext.server import access
from wsext.server.accept import Handshake, HandshakeProtocol
from wsext.server.limits import Addresses, Proxies, Sweep

__all__ = ["Server", "serve"]

logger = logging.getLogger("wsext.server")

_LOOK_EVERY = 0.01

#: Seconds that connections which are being answered get at the very end.
_LAST_ANSWERS = 1.0

#: Seconds that accepted connections get to become sessions when another process takes over.
_LAST_HANDSHAKES = 2.0


class Listener(Protocol):
    """Where connections come from; an `asyncio.Server` is one."""

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""

    def close(self) -> None:
        """Let no more come."""


class Server:
    """A running server; made by `serve`.

    Attributes:
        app: The application.
        draining: Whether it is shutting down: handshakes are answered with 503.
        http2: Whether HTTP/2 is spoken, too: the option is on and the package ``h2`` is installed.
    """

    def __init__(
        self,
        app: Application,
        ssl: ssl_module.SSLContext | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.app = app
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.timers: Timers = timers or self.loop
        self.proxies = Proxies(app.server_options.trusted_proxies)
        self.addresses = Addresses(app.server_options, self.timers.time)
        self.http2 = app.server_options.http2 and http2.is_available()
        self._sweep = Sweep(self.timers, self._limited)
        self._ssl = ssl
        self._listeners: list[Listener] = []
        self._url: str | None = None
        self._port: int | None = None
        self._taken: set[asyncio.Task[None]] = set()
        self._connections: set[Handshake] = set()
        self._sessions: dict[Session, Handshake] = {}
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
        if self._port is None:
            raise RuntimeError("the server does not listen on TCP")
        return self._port

    @property
    def url(self) -> str:
        """The address for clients: ``ws://host:port``, or ``ws+unix:path``.

        Raises:
            RuntimeError: If it does not listen.
        """
        if self._url is None:
            raise RuntimeError("the server does not listen")
        return self._url

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
        if self._ssl is not None and self.http2:
            self._ssl.set_alpn_protocols(["h2", "http/1.1"])
        await self.app.hub.start()

        factory = self._new_connection
        backlog = self.app.server_options.backlog
        if uds is not None:
            listener = await net.create_unix_server(factory, uds, ssl=self._ssl, backlog=backlog)
        elif sock is not None and sock.family == socket.AF_UNIX:
            listener = await net.create_unix_server(
                factory, sock=sock, ssl=self._ssl, backlog=backlog
            )
        elif sock is not None:
            listener = await net.create_server(factory, sock=sock, ssl=self._ssl, backlog=backlog)
        else:
            listener = await net.create_server(
                factory, host, port, ssl=self._ssl, backlog=backlog, reuse_port=reuse_port or None
            )
        self.add_listener(listener)
        bound = listener.sockets[0]
        if self._url is None:
            self._url = net.url_of(bound, self._ssl is not None)
        if self._port is None and bound.family != socket.AF_UNIX:
            self._port = int(bound.getsockname()[1])

    def add_listener(self, listener: Listener) -> None:
        """Close this, too, when the server has drained."""
        self._listeners.append(listener)

    def _new_connection(self) -> HandshakeProtocol:
        return HandshakeProtocol(self)

    def take(self, sock: socket.socket) -> None:
        """Serve a connection that somebody else has accepted."""
        sock.setblocking(False)
        task = self.loop.create_task(self._set_up(sock))
        self._taken.add(task)
        task.add_done_callback(self._taken.discard)

    async def _set_up(self, sock: socket.socket) -> None:
        try:
            await net.connect_accepted_socket(self._new_connection, sock, ssl=self._ssl)
        except OSError as error:  # TLS errors are some
            logger.debug("connection could not be set up: %s", error)
            sock.close()

    def admit(self, connection: Handshake) -> str:
        """Count a new connection; the limit's name if there are too many."""
        limit = self.app.server_options.max_connections
        if limit is not None and len(self._connections) >= limit:
            if len(self._connections) >= limit + 1024 and connection.transport is not None:
                connection.transport.abort()  # even polite refusals have an end
            self._connections.add(connection)
            return "max_connections"
        self._connections.add(connection)
        return ""

    def release(self, connection: Handshake) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        connection.uncount()
        self._check_idle()

    def start_session(self, connection: Handshake, session: Session) -> None:
        """A handshake has become a session."""
        self._sessions[session] = connection
        self._sweep.add(session)

    def end_session(self, connection: Handshake, session: Session) -> None:
        """A session's handler is done."""
        self._sessions.pop(session, None)
        self._sweep.remove(session)
        access.log_end(session, self.loop.time() - connection.made)
        self.release(connection)

    def _limited(self, limit: str, session: Session) -> None:
        logger.warning("session %s from %s: %s", session.id, session.request.remote, limit)
        self.app.installed.limited(limit, session.request)

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

    async def close(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # a drain time
        *,
        code: int = CloseCode.GOING_AWAY,
        reason: str = "server is shutting down",
    ) -> None:
        """Drain: refuse handshakes with 503, close sessions, wait, abort the rest.

        What has been received is handled first: nothing more is read, and handlers get a quarter
        of the time to wait for the next message again. So what one session has been told to pass on
        reaches those that read.

        Args:
            timeout: Seconds that sessions get to end; by default ``drain_timeout``.
            code: What sessions are closed with.
            reason: The reason beside it.
        """
        if self.draining:
            await self.wait_closed()
            return
        self.draining = True
        if timeout is None:
            timeout = self.app.server_options.drain_timeout
        until = self.loop.time() + timeout
        settling = timeout / 4
        for connection in list(self._connections):
            connection.drain()
        for session in self.sessions:
            session.hold_reading(settling)
        await _wait(lambda: all(life_of(session).is_idle for session in self._sessions), settling)
        if timeout > 0:  # what was said in rooms before gets to members that read
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.hub.flush(), settling)
        for session in self.sessions:
            session.close_nowait(code, reason)
            life_of(session).end_receiving()
        await self._wait_idle(until - self.loop.time())
        for listener in self._listeners:
            listener.close()
        # Whoever came last gets to hear that the server is going down.
        rest = min(until - self.loop.time(), _LAST_ANSWERS)
        await _wait(lambda: not self._is_answering, rest)
        await self._abort_rest()
        self._sweep.stop()
        await self.app.hub.let_go(self)
        if not self._closed.done():
            self._closed.set_result(None)

    @property
    def _is_answering(self) -> bool:
        fresh = self.loop.time() - _LAST_ANSWERS
        return bool(self._taken) or any(item.is_pending(fresh) for item in self._connections)

    async def _wait_idle(self, seconds: float) -> None:
        if self._sessions and seconds > 0:
            self._idle = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle, seconds)

    async def retire(self) -> None:
        """Drain with 1012, for another process takes over.

        Every connection that this one was given still gets its handshake answered.
        """
        limit = min(self.app.server_options.handshake_timeout, _LAST_HANDSHAKES)
        await _wait(
            lambda: not (self._taken or any(c.is_undecided for c in self._connections)), limit
        )
        await self.close(code=CloseCode.SERVICE_RESTART, reason="server is restarting")

    def abort(self) -> None:
        """Drop all sessions at once; for those who cannot wait for `close`."""
        for session in self.sessions:
            session.abort()

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


async def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, at most some seconds; looked at often, for draining is rare."""
    until = asyncio.get_running_loop().time() + seconds
    while not condition() and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY)


class serve:
    """Start a server: ``server = await serve(app)``, or ``async with serve(app) as server``.

    Args:
        app: The application.
        host: Address or addresses to listen on; ``None`` for all interfaces.
        port: TCP port; 0 for any free one (see `Server.port`).
        uds: Path of a Unix socket to listen on instead.
        sock: A bound socket to listen on instead.
        ssl: A TLS context. With the server option ``http2`` it is told to offer ``h2`` by ALPN.
        reuse_port: Let several processes listen on the port.

    Raises:
        OptionError, PluginError: If the app asks for what cannot be.
        OSError: If the address cannot be listened on.
    """

    def __init__(
        self,
        app: Application,
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


async def serve_until_signal(app: Application, host: Any, port: int, **serving: Any) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal ends at once."""
    started = serving.pop("started", None)
    server = await serve(app, host, port, **serving)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            server.abort()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signal handlers
            loop.add_signal_handler(number, on_signal)
    if started is not None:
        started(server)
    await stop.wait()
    logger.info("draining %d sessions", len(server.sessions))
    await server.close()


def run_until_signal(app: Application, host: Any, port: int, **serving: Any) -> None:
    """`serve_until_signal` on a new event loop; uvloop when it is installed."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve_until_signal(app, host, port, **serving))
