"""Who is connected: the connections and sessions of a server, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from wsext.app.application import Application
from wsext.escape import get_logger
from wsext.protocol.http import Request
from wsext.runtime.life import life_of
from wsext.runtime.loop import need_running_loop
from wsext.runtime.net import fills_at_once
from wsext.runtime.session import Session
from wsext.runtime.sweep import Sweep
from wsext.runtime.timers import Timers
from wsext.runtime.turns import turns_of
from wsext.server import access
from wsext.server.admission import Addresses, Places
from wsext.server.exchange import Exchange, Host
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies
from wsext.server.trimming import Trimming

__all__ = ["Connections"]

logger = get_logger("wsext.server")

#: Seconds for which a connection without a request counts as fresh: its request may be on its way.
_FRESH = 1.0

#: Bytes of requests that are read at once, at most.
_READ = 1 << 16

#: Sessions that a line in the log about many of them names.
_NAMED = 5


class Connections(Host):
    """The connections and sessions of one server.

    Args:
        app: The application.
        timers: What runs timeouts; by default the event loop.
    """

    def __init__(self, app: Application, timers: Timers | None = None) -> None:
        self.app = app
        self.draining = False
        self.worker = ""
        self.loop = need_running_loop("Server(app)")
        self.timers: Timers = timers or self.loop
        self.turns = turns_of(self.loop)
        self.buffer = memoryview(bytearray(_READ)) if fills_at_once(self.loop) else None
        self.turns.limit(app.server_options.incoming_total)
        self.proxies = Proxies(app.server_options.trusted_proxies)
        self.hosts = Hosts(app.server_options.allowed_hosts, self.proxies)
        self.addresses = Addresses(app.server_options, self.timers.time)
        self._sweep = Sweep(self.timers, app.installed, logger)
        self._trimming = Trimming(self.timers)
        # Connections and sessions are in the order in which they came, so that what is done to all
        # of them is reproducible.
        self._places: Places[Exchange] = Places(app.server_options, self.loop.time, self._drop)
        self._sessions: dict[Session, Exchange] = {}  # with what runs their handlers
        #: The later connections of sessions that were resumed, by the one that runs the handler.
        self._carriers: dict[Exchange, Exchange] = {}
        self._resumable = 0
        self._detached = self._session_detached  # one object for all sessions
        self._idle: asyncio.Future[None] | None = None

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions now."""
        return frozenset(self._sessions)

    @property
    def ordered_sessions(self) -> list[Session]:
        """The sessions now, in the order of their coming."""
        return list(self._sessions)

    @property
    def connections(self) -> Sequence[Exchange]:
        """The connections now, and the streams of HTTP/2."""
        return list(self._places.connections)

    @property
    def connection_count(self) -> int:
        """The connections now, sessions or not; a stream of HTTP/2 counts as one."""
        return len(self._places.connections)

    @property
    def is_answering(self) -> bool:
        """Whether a request that is no session is being answered, or may still come."""
        fresh = self.loop.time() - _FRESH
        return any(connection.is_pending(fresh) for connection in self._places.connections)

    @property
    def is_undecided(self) -> bool:
        """Whether the first request of a connection may come, or is being answered."""
        return any(connection.is_undecided for connection in self._places.connections)

    @property
    def most(self) -> int | None:
        """How many connections are served at once, at most; ``None`` for any number."""
        return self._places.most

    def admit(self, connection: Exchange) -> str | None:
        return self._places.admit(connection)

    def heard(self, connection: Exchange) -> None:
        self._places.keep(connection)

    def release(self, connection: Exchange) -> None:
        if self._places.release(connection):
            self._trimming.note_end()
        connection.uncount()
        if not self._sessions and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _drop(self, connection: Exchange) -> None:
        """Another connection gets its place."""
        self.release(connection)
        connection.abort()

    async def hand_over(self, connection: Exchange, request: Request, worker: str) -> bool:
        return False  # there are no other workers

    async def locate(self, worker: str) -> str | None:
        return None  # there are no other servers

    @property
    def may_resume(self) -> bool:
        """Whether there are sessions that can be resumed."""
        return self._resumable > 0

    def start_session(self, connection: Exchange, session: Session) -> None:
        self._sessions[session] = connection
        self._sweep.add(session)
        life = life_of(session)
        if life.journal is not None:
            self._resumable += 1
            life.on_detached = self._detached

    def resume_session(self, connection: Exchange, session: Session) -> None:
        self._carriers[self._sessions[session]] = connection

    def _session_detached(self, session: Session) -> None:
        self.detach_session(self._sessions[session])

    def detach_session(self, connection: Exchange) -> None:
        carrier = self._carriers.pop(connection, connection)
        self.release(carrier)
        carrier.transport = None  # TLS would keep 65 KiB for as long as the session waits

    def end_session(self, connection: Exchange, session: Session) -> None:
        self._sessions.pop(session, None)
        self._sweep.remove(session)
        if life_of(session).journal is not None:
            self._resumable -= 1
        self.detach_session(connection)
        access.log_end(session, self.loop.time() - connection.made)

    async def wait_idle(self, seconds: float) -> None:
        """Wait until there is no session, at most some seconds."""
        if self._sessions and seconds > 0:
            self._idle = self.loop.create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle, seconds)

    def abort(self) -> None:
        """Drop all sessions at once; for those who cannot wait for `close`."""
        for session in list(self._sessions):
            session.abort()

    async def abort_rest(self) -> None:
        """Drop every connection, and cancel the handlers that have not ended by now."""
        for connection in self.connections:
            connection.abort()
        late = list(self._sessions)
        if late:
            names = ", ".join(session.id for session in late[:_NAMED])
            names += " and others" if len(late) > _NAMED else ""
            logger.warning("%d sessions did not end in time; aborted: %s", len(late), names)
        for session in late:
            session.abort()
        tasks = [task for owner in self._sessions.values() if (task := owner.task) is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        self._sweep.stop()
        self._trimming.stop()
