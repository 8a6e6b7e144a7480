"""What is in a simulated world, and what can a scenario do there?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from wsext.app.application import App
from wsext.client.connect import HTTP2Choice
from wsext.client.connect import connect as _connect
from wsext.errors import CloseInfo
from wsext.protocol.http import Request
from wsext.runtime.session import Session
from wsext.server.server import Server
from wsext.testing.hosting import accept, make_server
from wsext.testing.memory import Tap
from wsext.testing.peers import RawPeer, shake_hands
from wsext.testing.simulation.codecs import CodecLedger
from wsext.testing.simulation.conditions import Conditions, Weather
from wsext.testing.simulation.loop import SimulatedLoop
from wsext.testing.simulation.network import Network, SimulatedWire
from wsext.testing.transcript import Transcript

__all__ = ["World", "WorldConnect"]

#: Seconds that everything gets to come to rest once the scenario and the servers are at their end.
_PATIENCE = 120.0
#: Seconds that servers get to close and everything to come to rest.
_CLOSING = 1000.0


class World:
    """Servers, clients and the network between them; made by `simulate`.

    Attributes:
        seed: What decides all that is left to chance.
        random: For the scenario's own chances; draws from the seed, too.
        network: Everything between clients and servers.
        servers: Every server so far.
        errors: What wsext has logged as an error.
    """

    def __init__(self, seed: int, rng: Random, weather: Weather) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.seed = seed
        self.random = rng
        self.network = Network(seed, weather)
        self.servers: list[Server] = []
        self.errors: list[logging.LogRecord] = []
        self._loop = loop
        self._ledger = CodecLedger()
        self._clients: list[Session] = []
        self._expected: list[str] = []

    @property
    def connections(self) -> list[SimulatedWire]:
        """Every connection so far; a scenario may ``reset()`` one, for example."""
        return self.network.connections

    @property
    def codecs_made(self) -> int:
        """How many codecs were made so far."""
        return self._ledger.made

    # --- what a scenario does -----------------------------------------------------------------

    async def serve(self, app: App) -> Server:
        """Start a server. It is closed after the scenario, if the scenario does not close it.

        Raises:
            OptionError, PluginError: If the app asks for what cannot be.
        """
        server = make_server(app)
        for route in app.routes:
            self._ledger.watch(app.profile(route)[1].extensions)
        await app.hub.start()
        self.servers.append(server)
        return server

    def connect(
        self,
        server: Server,
        path: str = "/",
        *,
        conditions: Conditions | None = None,
        transcript: Transcript | None = None,
        **options: Any,
    ) -> WorldConnect:
        """Open a session with a server, as `wsext.connect` does, and to be used as that.

        Args:
            server: From `serve`.
            path: The path and query.
            conditions: How the network treats the connection; by default the world's weather says.
            transcript: Where to record what travels (HTTP/1.1 only).
            options: What `wsext.connect` takes: ``extensions``, ``http2``, ``headers`` and so on.

        Raises:
            What `wsext.connect` raises.
        """
        tap = None if transcript is None else transcript.record
        return WorldConnect(self, server, path, conditions, tap, **options)

    @asynccontextmanager
    async def raw_peer(
        self,
        server: Server,
        path: str = "/",
        *,
        conditions: Conditions | None = None,
        extensions: str | None = None,
        headers: Mapping[str, str] | None = None,
        shake: bool = True,
    ) -> AsyncIterator[RawPeer]:
        """A client that may break every rule; see `wsext.testing.raw_peer`.

        Raises:
            ConnectionRefusedError: If the conditions say so.
        """
        transcript = Transcript()
        wire = await self.network.connect(conditions, transcript.record)
        peer = RawPeer(server, transcript, wire.client)
        wire.client.set_protocol(peer)  # type: ignore[arg-type]  # it is one in all but its base
        accept(server, wire.server)
        try:
            if shake:
                await shake_hands(peer, path, extensions, headers or {})
            yield peer
        finally:
            peer.abort()

    def expect(self, text: str) -> None:
        """Do not fail for what asyncio reports as an error with this text in it."""
        self._expected.append(text)

    # --- the end ------------------------------------------------------------------------------

    def add_client(self, session: Session) -> None:
        """Look after a client's session: it has to end."""
        self._clients.append(session)

    def watch(self, extensions: Any) -> None:
        """Count the codecs that extensions make."""
        self._ledger.watch(extensions)

    async def close(self) -> None:
        """Close the servers, and wait for everything to come to rest."""
        loop = self._loop
        loop.limit = max(loop.limit, loop.time() + _CLOSING)
        for server in self.servers:
            await server.close()
        await self._loop.settle(_PATIENCE)

    def release(self) -> None:
        """Leave the extensions as they were."""
        self._ledger.stop()

    def findings(self) -> list[str]:
        """What is not as it has to be at the end, one text each."""
        loop = self._loop
        found = [
            f"asyncio reported: {problem}"
            for problem in loop.problems
            if not any(text in problem for text in self._expected)
        ]
        found += self._ledger.findings()
        for server in self.servers:
            found += [f"{server_session!r} is still open" for server_session in server.sessions]
            if server.connection_count:
                found.append(f"the server still counts {server.connection_count} connections")
            if server.addresses.count:
                found.append(f"the server still counts {server.addresses.count} addresses")
            if server.app.hub.rooms:
                found.append(f"rooms still have members: {server.app.hub.rooms!r}")
        found += [f"the client's {s!r} has not ended" for s in self._clients if not _has_ended(s)]
        return found


def _has_ended(session: Session) -> bool:
    """Whether a session has ended: only then is a new callback called at once."""
    ended: list[CloseInfo] = []
    session.add_close_callback(ended.append)
    session.remove_close_callback(ended.append)
    return bool(ended)


class WorldConnect(_connect):
    """`wsext.connect` over the simulated network."""

    def __init__(
        self,
        world: World,
        server: Server,
        path: str,
        conditions: Conditions | None,
        tap: Tap | None,
        **options: Any,
    ) -> None:
        super().__init__(f"ws://memory{path}", proxy=None, **options)
        self._world = world
        self._server = server
        self._conditions = conditions
        self._tap = tap
        world.watch(self._installed.extensions)

    async def _connect(self, request: Request, choice: HTTP2Choice) -> Any:
        wire = await self._world.network.connect(self._conditions, self._tap)
        protocol = self.protocol_class(request, choice)
        accept(self._server, wire.server)
        wire.client.set_protocol(protocol)
        protocol.connection_made(wire.client)
        return protocol

    def _start(self, *arguments: Any) -> Any:
        session, missing = super()._start(*arguments)
        self._world.add_client(session)
        return session, missing
