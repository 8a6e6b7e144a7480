"""How a program on trio serves: `serve`."""

from __future__ import annotations

import errno
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import trio

from wsext.app.application import Application
from wsext.app.routing import Guard, Route
from wsext.app.settings import ServerOptions
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import Request
from wsext.runtime.net import url_of
from wsext.runtime.rates import Rarely
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.sweep import Sweep
from wsext.sdk.installed import Installed, build
from wsext.server.admission import Addresses, Places
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies
from wsext.trio.answering import Answering
from wsext.trio.session import Session
from wsext.trio.streams import StreamInfo, no_resuming
from wsext.trio.waiting import TrioTimers

__all__ = ["Server", "serve"]

logger = get_logger("wsext.server")

#: Seconds without accepting after the system could not give what a connection needs.
_NO_MEANS = 0.1

_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


FindRoute: TypeAlias = "Callable[[Request], tuple[Route, Mapping[str, Any]]]"


class Server:
    """A server that runs; `serve` gives it to ``task_status``.

    Attributes:
        app: The application.
        draining: Whether it is shutting down.
    """

    def __init__(
        self,
        app: Application,
        find_route: FindRoute,
        listeners: Sequence[trio.abc.Listener[Any]],
    ) -> None:
        options = app.server_options
        self.app = app
        self.draining = False
        self.find_route = find_route
        self.proxies = Proxies(options.trusted_proxies)
        self.hosts = Hosts(options.allowed_hosts, self.proxies)
        self.addresses = Addresses(options, trio.current_time)
        self._listeners = listeners
        self._timers = TrioTimers()
        self._sweep = Sweep(self._timers, app.installed, logger)
        self._places: Places[Answering] = Places(options, trio.current_time, self._drop)
        self._sessions: dict[Session, None] = {}
        self._accepting = trio.CancelScope()
        self._idle = trio.lowlevel.ParkingLot()
        self._closed = trio.Event()
        self._complain = Rarely(logger.warning, trio.current_time)

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions now."""
        return frozenset(self._sessions)

    @property
    def url(self) -> str:
        """The address for clients: ``ws://host:port``, or ``ws+unix:path``; of several, the first.

        Raises:
            LookupError: If no socket is listened on.
        """
        for listener in self._listeners:
            sock = StreamInfo(listener).get_extra_info("socket")
            if sock is not None:
                return url_of(sock, isinstance(listener, trio.SSLListener))
        raise LookupError("no socket is listened on")

    @property
    def port(self) -> int:
        """The TCP port that is listened on; of several, the first one's.

        Raises:
            LookupError: If there is none.
        """
        for listener in self._listeners:
            name = StreamInfo(listener).get_extra_info("sockname")
            if isinstance(name, tuple):
                return int(name[1])
        raise LookupError("no TCP port is listened on")

    async def close(self) -> None:
        """Take no more connections, close every session with 1001, and wait for all of them.

        Those that have not ended after ``drain_timeout`` seconds are dropped, and their handlers
        cancelled. `serve` returns then.
        """
        self.draining = True
        self._accepting.cancel()
        await self._closed.wait()

    # --- what runs it -------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[Server]) -> None:
        """Serve until `close`, or until it is cancelled: then every connection is dropped."""
        self._places.warn_if_capped()
        try:
            async with trio.open_nursery() as nursery:
                self._timers.start(nursery)
                with self._accepting:
                    async with trio.open_nursery() as accepting:
                        for listener in self._listeners:
                            accepting.start_soon(self._accept, listener, nursery)
                        task_status.started(self)
                await self._drain()
                nursery.cancel_scope.cancel()
        finally:
            self._timers.stop()
            self._closed.set()
            with trio.CancelScope(shield=True):
                for listener in self._listeners:
                    await listener.aclose()

    async def _accept(self, listener: trio.abc.Listener[Any], nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _OUT:
                    raise
                self._complain("cannot accept connections: %s", error)
                await trio.sleep(_NO_MEANS)
            else:
                nursery.start_soon(Answering(self, stream).run)

    async def _drain(self) -> None:
        for listener in self._listeners:
            await listener.aclose()
        sessions = list(self._sessions)
        if sessions:
            logger.info("draining %d sessions", len(sessions))
        for session in sessions:
            session.close_nowait(CloseCode.GOING_AWAY)
        with trio.move_on_after(self.app.server_options.drain_timeout):
            while self._places.connections:
                await self._idle.park()
        if self._sessions:
            logger.warning("%d sessions did not end in time; aborted", len(self._sessions))

    def admit(self, connection: Answering) -> str | None:
        """Count a new connection; see `Places.admit`."""
        return self._places.admit(connection)

    def heard(self, connection: Answering) -> None:
        """Its request has come."""
        self._places.keep(connection)

    def release(self, connection: Answering) -> None:
        """It is gone."""
        self._places.release(connection)
        self._idle.unpark_all()

    def _drop(self, connection: Answering) -> None:
        """Another connection gets its place."""
        self.release(connection)
        connection.abort()

    def begin(self, session: Session) -> None:
        """A handshake has become a session."""
        self._sessions[session] = None
        self._sweep.add(cast("Any", session))
        if self.draining:
            session.close_nowait(CloseCode.GOING_AWAY)

    def end(self, session: Session) -> None:
        """A session has ended, and its handler, too."""
        self._sweep.remove(cast("Any", session))
        del self._sessions[session]


async def serve(
    app: Application | Callable[..., Any],
    host: str | Sequence[str] | None = "127.0.0.1",
    port: int = 0,
    *,
    extensions: Iterable[Any] | Mapping[str, Mapping[str, Any]] | Installed | None = None,
    subprotocols: Sequence[str] = (),
    options: WebSocketOptions | Mapping[str, Any] | None = None,
    guards: Iterable[Guard] = (),
    server: ServerOptions | Mapping[str, Any] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    listeners: Sequence[trio.abc.Listener[Any]] | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `Server.close` or until it is cancelled.

    ::

        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, handler)
            print(server.port)

    Args:
        app: A coroutine function of a `Session`, which gets the sessions of every path, or an `App`
            with routes.
        host: Address or addresses to listen on; ``None`` for all interfaces.
        port: TCP port; 0 for any free one (see `Server.port`).
        extensions: For a function: what is installed, as for `connect`.
        subprotocols: For a function: what it speaks, the best first.
        options: For a function: the options of its sessions.
        guards: For a function: asked before a handshake is accepted.
        server: For a function: the options of the server.
        ssl: A TLS context.
        listeners: Listeners to accept from instead; they are closed at the end.
        task_status: Gets the `Server` once connections may come; `trio.Nursery.start` gives it.

    Raises:
        OptionError, PluginError: If something is asked for that cannot be.
        OSError: If the address cannot be listened on.
        TypeError: If the handler is none, or an `App` has lifespans, or is given with what is for a
            function.
    """
    find_route: FindRoute
    if isinstance(app, Application):
        if extensions or subprotocols or options or guards or server:
            raise TypeError("an App has its own extensions, options, guards and subprotocols")
        if app.lifespans:
            raise TypeError("lifespans of an App run on asyncio: open what it needs around serve()")
        app.prepare()
        find_route = app.table.match
    else:
        handler, app = app, Application(options=options, server=server)
        app.installed = extensions if isinstance(extensions, Installed) else build(extensions or ())
        app.websocket("/", subprotocols=subprotocols, guards=guards)(handler)
        route = app.routes[0]
        find_route = _always(route)
    for route in app.routes:
        no_resuming(app.profile(route)[1])
    if listeners is None:
        listeners = await _listen(host, port, app.server_options.backlog)
    if ssl is not None:
        listeners = [trio.SSLListener(each, ssl, https_compatible=True) for each in listeners]
    await Server(app, find_route, listeners).run(task_status)


def _always(route: Route) -> FindRoute:
    """The one route of a function."""

    def find_route(request: Request) -> tuple[Route, Mapping[str, Any]]:
        return route, {}

    return find_route


async def _listen(
    host: str | Sequence[str] | None, port: int, backlog: int
) -> list[trio.abc.Listener[Any]]:
    hosts = [host] if host is None or isinstance(host, str) else host
    listeners: list[trio.abc.Listener[Any]] = []
    try:
        for each in hosts:
            listeners += await trio.open_tcp_listeners(port, host=each, backlog=backlog)
    except BaseException:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return listeners
