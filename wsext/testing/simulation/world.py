"""What is in a simulated world, and what can a scenario do there?"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from wsext.app.application import Application
from wsext.server.server import Server
from wsext.testing.peers import RawPeer, WireConnect, raw_peer_on
from wsext.testing.simulation.books import Books
from wsext.testing.simulation.conditions import Conditions, Weather
from wsext.testing.simulation.network import Network, SimulatedWire
from wsext.testing.transcript import Transcript

__all__ = ["World", "WorldConnect"]


class World:
    """Servers, clients and the network between them; made by `simulate`.

    Attributes:
        seed: What decides all that is left to chance.
        random: For the scenario's own chances; draws from the seed, too.
        network: Everything between clients and servers.
    """

    def __init__(self, seed: int, rng: Random, weather: Weather, books: Books) -> None:
        self.seed = seed
        self.random = rng
        self.network = Network(seed, weather)
        self._books = books

    @property
    def connections(self) -> list[SimulatedWire]:
        """Every connection so far; a scenario may ``reset()`` one, for example."""
        return self.network.connections

    @property
    def servers(self) -> list[Server]:
        """Every server so far."""
        return self._books.servers

    @property
    def errors(self) -> list[logging.LogRecord]:
        """What wsext has logged as an error so far."""
        return self._books.errors

    @property
    def codecs_made(self) -> int:
        """How many codecs were made so far."""
        return self._books.codecs.made

    # --- what a scenario does -----------------------------------------------------------------

    async def serve(self, app: Application) -> Server:
        """Start a server. It is closed after the scenario, if the scenario does not close it.

        Raises:
            OptionError, PluginError: If the app asks for what cannot be.
        """
        server = Server(app)
        await server.start()
        for route in app.routes:
            self._books.codecs.watch(app.profile(route)[1].extensions)
        self._books.servers.append(server)
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

        async def make_wire() -> SimulatedWire:
            return await self.network.connect(conditions, tap)

        return WorldConnect(self._books, server, path, make_wire, **options)

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
        opening = raw_peer_on(wire, server, path, extensions, headers, shake, transcript)
        async with opening as peer:
            yield peer

    def expect(self, text: str) -> None:
        """Do not fail for what asyncio reports as an error with this text in it."""
        self._books.expected.append(text)


class WorldConnect(WireConnect):
    """`wsext.connect` over the simulated network."""

    def __init__(self, books: Books, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._books = books
        books.codecs.watch(self._installed.extensions)

    def _start(self, *arguments: Any, **keywords: Any) -> Any:
        session = super()._start(*arguments, **keywords)
        self._books.add_client(session)
        return session
