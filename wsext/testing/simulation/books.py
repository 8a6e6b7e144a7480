"""What has come into being in a world, and what is left of it at the end?"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from wsext.runtime.life import life_of
from wsext.runtime.session import Session
from wsext.sdk.extension import Extension
from wsext.server.server import Server
from wsext.testing.simulation.codecs import CodecLedger
from wsext.testing.simulation.loop import SimulatedLoop

__all__ = ["Books"]

#: Seconds that everything gets to come to rest once the scenario and the servers are at their end.
_PATIENCE = 120.0
#: Seconds that servers get to close and everything to come to rest.
_CLOSING = 1000.0


class Books:
    """Keeps account of a world.

    Args:
        loop: What the world runs on.

    Attributes:
        servers: Every server.
        codecs: Every codec.
        expected: What asyncio may report: parts of its texts.
        errors: What wsext has logged as an error.
    """

    def __init__(self, loop: SimulatedLoop) -> None:
        self.servers: list[Server] = []
        self.codecs = CodecLedger()
        self.expected: list[str] = []
        self.errors: list[logging.LogRecord] = []
        self._loop = loop
        self._clients: list[Session] = []

    def watch(self, extensions: Iterable[Extension]) -> None:
        """Count the codecs that these make."""
        self.codecs.watch(extensions)

    def add_client(self, session: Session) -> None:
        """A client has opened a session: it has to end."""
        self._clients.append(session)

    async def close(self) -> None:
        """Close the servers, and wait for everything to come to rest."""
        loop = self._loop
        loop.limit = max(loop.limit, loop.time() + _CLOSING)
        for server in self.servers:
            await server.close()
        await loop.settle(_PATIENCE)

    def findings(self) -> list[str]:
        """What is not as it has to be at the end, one text each."""
        loop = self._loop
        found = [
            f"asyncio reported: {problem}"
            for problem in loop.problems
            if not any(text in problem for text in self.expected)
        ]
        found += self.codecs.findings()
        for server in self.servers:
            found += _left_over(server)
        found += [
            f"the client's {s!r} has not ended" for s in self._clients if life_of(s).info is None
        ]
        found += [f"{task.get_name()!r} still runs: {task!r}" for task in loop.tasks()]
        found += [f"a timer is still set: {timer}" for timer in loop.timers()]
        found += [f"a future is still pending, made at {place}" for place in loop.futures()]
        return found


def _left_over(server: Server) -> list[str]:
    found = [f"{session!r} is still open" for session in server.sessions]
    if server.connection_count:
        found.append(f"the server still counts {server.connection_count} connections")
    if server.addresses.count:
        found.append(f"the server still counts {server.addresses.count} addresses")
    if server.app.hub.rooms:
        found.append(f"rooms still have members: {server.app.hub.rooms!r}")
    return found
