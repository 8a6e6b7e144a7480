"""Two sessions that are resumed: both sides in one process, on transports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from wsext import (
    Agreed,
    Codec,
    Extension,
    Journal,
    Listener,
    Negotiation,
    Params,
    Phase,
    Request,
    Session,
    WebSocketOptions,
)
from wsext.protocol.headers import Headers
from wsext.runtime.life import life_of
from wsext.sdk.installed import Installed
from wsext.testing.memory import Wire

__all__ = ["Keeping", "Pair", "Resumable"]


class Keeping(Codec):
    """Changes nothing, and has a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal


class Resumable(Extension):
    """Where a journal's opcode is claimed; the tests negotiate by themselves."""

    name = "x-resumable"
    phase = Phase.APPLICATION
    opcodes = frozenset({0xB})


class Pair:
    """A server's and a client's session with one connection after the other between them.

    Args:
        options: Of both sessions.
        journals: Makes the journals, first the server's.
        codecs: Makes a connection's other codecs on one side, each with its extension's class.
        installed: Hooks of the two sides, first the server's.
        listener: The listener of the server's session, in place of a handler.
        wire: Makes a connection's wire.
    """

    def __init__(
        self,
        options: WebSocketOptions | None = None,
        *,
        journals: Callable[[], Journal] = Journal,
        codecs: Callable[[str], Sequence[tuple[type[Extension], Codec]]] = lambda role: (),
        installed: tuple[Installed, Installed] | None = None,
        listener: type[Listener] | None = None,
        wire: Callable[[], Wire] = Wire,
    ) -> None:
        self._codecs = codecs
        self._make_wire = wire
        self.journals = {"server": journals(), "client": journals()}
        both = installed or (Installed(), Installed())
        self.server, self.client = (
            Session(
                role,
                Request("GET", "/", Headers()),
                options=options or WebSocketOptions(),
                installed=hooks,
                negotiation=self._negotiate(role),
            )
            for role, hooks in zip(("server", "client"), both, strict=True)
        )
        self.lost = asyncio.Event()
        life_of(self.client).on_detached = self.lost.set
        self.wire = wire()
        life_of(self.server).start(self.wire.server, listener=listener)
        life_of(self.client).start(self.wire.client)

    def _negotiate(self, role: str) -> Negotiation:
        journal = Resumable(), Keeping(self.journals[role])
        others = [(kind(), codec) for kind, codec in self._codecs(role)]
        return Negotiation(
            agreed=tuple(Agreed(kind, Params(), codec) for kind, codec in [journal, *others])
        )

    async def cut(self) -> None:
        """Reset the connection, and wait until both sides know."""
        self.wire.reset()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not self.server.connected
        assert not self.client.connected

    def resume(self) -> None:
        """Let the client come back: the order that ``docs/resuming.md`` fixes."""
        offered = self.journals["client"].received
        self.journals["server"].cut_off()
        answered = self.journals["server"].received
        self.wire = wire = self._make_wire()
        for session, role, received in (
            (self.server, "server", offered),
            (self.client, "client", answered),
        ):
            request = Request("GET", "/", Headers())
            transport: Any = getattr(wire, role)
            life_of(session).resume(request, self._negotiate(role), transport, b"", received)

    async def close(self) -> None:
        """End both sessions."""
        await asyncio.gather(self.server.close(), self.client.close())
