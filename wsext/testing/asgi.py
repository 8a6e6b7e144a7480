"""How does an ASGI application run in memory? Under uvicorn with this engine, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from wsext.app.application import Application
from wsext.integrations.asgi import session as session_of
from wsext.integrations.uvicorn import Protocol, WebSocketProtocol
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers

__all__ = ["ASGIServer"]

#: Seconds that an application gets to return when its connections have ended.
_GRACE = 5.0


class ASGIServer:
    """uvicorn with this engine, for connections in memory.

    Args:
        app: The application. Its lifespan begins with the first server that runs it, and ends with
            the last one.
        settings: Extensions, interceptors and options are taken from it; by default all is as with
            ``uvicorn --ws wsext.integrations.uvicorn:Protocol``.
        timers: What runs the pings and timeouts of sessions.
    """

    def __init__(self, app: Any, settings: Application | None, timers: Timers) -> None:
        self.timers = timers
        self._app = app
        self._sessions: dict[Session, None] = {}
        kind = Protocol if settings is None else WebSocketProtocol.using(settings)
        ws = type("TimedProtocol", (kind,), {"timers": timers})
        self._config = uvicorn.Config(
            self._run, interface="asgi3", http="h11", ws=ws, log_config=None
        )
        self._config.load()
        self._state = ServerState()
        self._lifespan: _Lifespan | None = None

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions now, with those that the application has not accepted yet."""
        return frozenset(self._sessions)

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        session = session_of(scope)
        self._sessions[session] = None
        try:
            await self._app(scope, receive, send)
        finally:
            del self._sessions[session]

    async def start(self) -> None:
        """Start the application, unless it is running.

        Raises:
            RuntimeError: If its lifespan fails; what it has raised is the cause.
        """
        self._lifespan = await _Lifespan.enter(self._app)

    def new_connection(self) -> asyncio.Protocol:
        """The protocol of one more connection."""
        assert self._lifespan is not None
        make: Any = self._config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self._config, server_state=self._state, app_state=self._lifespan.state
        )
        return protocol

    async def close(self) -> None:
        """Close what is open, as uvicorn does."""
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=_GRACE)
            for task in late:
                task.cancel()

    async def wait_closed(self) -> None:
        """End the application if nobody else runs it."""
        if self._lifespan is not None:
            await self._lifespan.leave()


class _Lifespan:
    """An application that has been started, and how many servers run it."""

    _all: ClassVar[dict[tuple[int, int], _Lifespan]] = {}

    def __init__(self, app: Any, key: tuple[int, int]) -> None:
        self._app = app
        self._key = key
        self._users = 0
        self._error: BaseException | None = None
        config = uvicorn.Config(self._run, interface="asgi3", ws="none", log_config=None)
        self._lifespan = LifespanOn(config)
        self._starting = asyncio.ensure_future(self._lifespan.startup())

    @property
    def state(self) -> dict[str, Any]:
        """What the application has kept for its connections."""
        return self._lifespan.state

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self._error = error
            raise

    @classmethod
    async def enter(cls, app: Any) -> _Lifespan:
        """Run an application; it starts if nobody runs it in this event loop.

        Raises:
            RuntimeError: If it fails to start.
        """
        key = (id(app), id(asyncio.get_running_loop()))
        found = cls._all.get(key) or cls._all.setdefault(key, cls(app, key))
        found._users += 1
        try:
            await asyncio.shield(found._starting)
            found._check()
        except BaseException:
            await found.leave()
            raise
        return found

    async def leave(self) -> None:
        """Run it no more; it ends if nobody else runs it.

        Raises:
            RuntimeError: If it fails to end.
        """
        self._users -= 1
        if not self._users:
            del self._all[self._key]
            await self._starting
            if not self._lifespan.startup_failed:
                await self._lifespan.shutdown()
                self._check()

    def _check(self) -> None:
        if self._lifespan.should_exit:
            raise RuntimeError("the application's lifespan has failed") from self._error
