"""What the parts of the front on trio need of each other, as Protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wsext.app.application import Application
from wsext.app.routing import Route
from wsext.errors import ProtocolError
from wsext.protocol.connection import Connection
from wsext.protocol.http import Request
from wsext.server.admission import Addresses
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies

__all__ = ["AnsweringHost", "Departures", "LinkOwner", "MessageCarrier"]


class Departures(Protocol):
    """What is to be sent."""

    @property
    def has_next(self) -> bool:
        """Whether a message waits."""

    async def take_out(self) -> None:
        """Give the next message to the connection."""

    def finish(self) -> bool:
        """A Close frame is to be sent; ``False`` if something has to leave before it."""

    def wake(self) -> None:
        """The peer has read: there may be room for more."""


class LinkOwner(Protocol):
    """Whose connection it is: the life of a session."""

    writer: Departures

    def deliver(self, event: Any) -> None:
        """A message has come, or a frame."""

    async def let_read(self) -> None:
        """Let the program deal with what has come, as long as it does."""

    def closing(self, *, more: bool) -> None:
        """The closing handshake has begun; ``more`` says whether the peer may still send data."""

    def lost(self) -> None:
        """The connection is gone, and all is freed."""


class MessageCarrier(Protocol):
    """What the messages leave by: a link."""

    connection: Connection

    @property
    def is_open(self) -> bool: ...
    @property
    def is_paused(self) -> bool: ...
    @property
    def unwritten(self) -> int: ...
    def write_soon(self) -> None: ...
    def fail(self, error: ProtocolError) -> None: ...


class AnsweringHost(Protocol):
    """The server that a connection came to.

    Attributes:
        app: The application.
        proxies: Who is believed what it says about its clients.
        hosts: Which hosts may be asked for.
        addresses: What each address takes.
        draining: Whether the server is shutting down.
    """

    app: Application
    proxies: Proxies
    hosts: Hosts
    addresses: Addresses
    draining: bool

    def find_route(self, request: Request) -> tuple[Route, Mapping[str, Any]]:
        """Who answers a request."""

    def admit(self, connection: Any) -> str | None:
        """Count a new connection; see `Places.admit`."""

    def heard(self, connection: Any) -> None:
        """Its request has come."""

    def release(self, connection: Any) -> None:
        """A connection is gone."""

    def begin(self, session: Any) -> None:
        """A handshake has become a session."""

    def end(self, session: Any) -> None:
        """A session has ended, and its handler, too."""
