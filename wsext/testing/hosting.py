"""How does a server get a connection without a socket?"""

from __future__ import annotations

from wsext.app.application import App
from wsext.runtime.timers import Timers
from wsext.server.accept import HandshakeProtocol
from wsext.server.server import Server
from wsext.testing.memory import MemoryTransport

__all__ = ["accept", "make_server"]


def make_server(app: App, timers: Timers | None = None) -> Server:
    """A server that listens nowhere.

    Raises:
        OptionError, PluginError: If the app asks for what cannot be.
    """
    app.prepare()
    return Server(app, timers=timers)


def accept(server: Server, transport: MemoryTransport) -> None:
    """Let a server have a connection."""
    protocol = HandshakeProtocol(server)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
