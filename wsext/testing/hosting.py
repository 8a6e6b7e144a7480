"""How does a server get a connection without a socket?"""

from __future__ import annotations

from wsext.app.application import Application
from wsext.runtime.timers import Timers
from wsext.server.server import Server
from wsext.testing.memory import MemoryTransport

__all__ = ["accept", "make_server"]


def make_server(app: Application, timers: Timers | None = None) -> Server:
    """A server that listens nowhere; start it with `Server.start`."""
    return Server(app, timers=timers)


def accept(server: Server, transport: MemoryTransport) -> None:
    """Let a server have a connection."""
    protocol = server.new_connection()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
