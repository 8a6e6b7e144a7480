"""Two sessions that are resumed: both sides in one process, on transports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tests.codecs import History
from tests.waiting import until
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
from wsext.protocol.agreement import NegotiationContext
from wsext.protocol.headers import Headers
from wsext.runtime.life import life_of
from wsext.sdk.installed import Installed
from wsext.testing.memory import Wire

__all__ = [
    "CLIENT",
    "SOON",
    "Cutting",
    "Keeping",
    "Pair",
    "Resumable",
    "history",
    "received",
    "small",
    "turns",
]


class Keeping(Codec):
    """Changes nothing, and has a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal


class Resumable(Extension):
    """Where a journal's opcode is claimed; the tests negotiate by themselves."""

    name = "x-resumable"
    phase = Phase.APPLICATION
    opcodes = frozenset({0xB})


class Cutting(Wire):
    """Resets the connection once one side has read so many bytes."""

    def __init__(self, side: str, most: int) -> None:
        super().__init__()
        self._side = side
        self._left = most

    @property
    def is_cut(self) -> bool:
        """Whether it has done so."""
        return self._left <= 0

    def piece(self, side: str, waiting: int) -> int:
        return min(waiting, self._left) if side == self._side else waiting

    def has_read(self, side: str, size: int) -> None:
        if side == self._side and not self.is_cut:
            self._left -= size
            if self.is_cut:
                self.reset()


class Pair:
    """A server's and a client's session, with one connection after the other between them.

    Args:
        options: Of both sessions.
        journals: Makes the journals.
        codecs: Makes a connection's other codecs, each with its extension.
        hooks: Of the server's side, and of the client's.
        listener: Makes the listener of the server's session.
        wire: The first connection's wire.
        raw: Whether the server's session is a raw one.
    """

    def __init__(
        self,
        options: WebSocketOptions | None = None,
        *,
        journals: Callable[[], Journal] = Journal,
        codecs: Callable[[], Sequence[tuple[Extension, Codec]]] = tuple,
        hooks: tuple[Installed, Installed] | None = None,
        listener: Callable[[], Listener] | None = None,
        wire: Wire | None = None,
        raw: bool = False,
    ) -> None:
        self._codecs = codecs
        self.journals = {"server": journals(), "client": journals()}
        both = hooks or (Installed(), Installed())
        self.server, self.client = (
            Session(
                role,
                Request("GET", "/", Headers()),
                options=options or WebSocketOptions(),
                installed=installed,
                negotiation=self.negotiate(role),
                raw=raw and role == "server",
            )
            for role, installed in zip(("server", "client"), both, strict=True)
        )
        life_of(self.client).on_detached = lambda session: None
        self.wire = wire or Wire()
        self._wires = [self.wire]
        life_of(self.server).start(self.wire.server, listener=listener)
        life_of(self.client).start(self.wire.client)

    def negotiate(self, role: str) -> Negotiation:
        """What the next connection agrees on, for one side."""
        keeping: tuple[Extension, Codec] = (Resumable(), Keeping(self.journals[role]))
        codecs = [keeping, *self._codecs()]
        return Negotiation(agreed=tuple(Agreed(kind, Params(), codec) for kind, codec in codecs))

    async def cut(self) -> None:
        """Reset the connection, and wait until both sides know."""
        self.wire.reset()
        await until(lambda: not (self.server.connected or self.client.connected), every=0)

    def resume(self, wire: Wire | None = None) -> None:
        """Let the client come back, in the order that ``docs/resuming.md`` fixes."""
        offered = self.journals["client"].received
        self.journals["server"].cut_off()
        answered = self.journals["server"].received
        self.wire = wire or Wire()
        self._wires.append(self.wire)
        for session, received in ((self.server, offered), (self.client, answered)):
            transport: Any = getattr(self.wire, session.role)
            life_of(session).resume(
                Request("GET", "/", Headers()),
                self.negotiate(session.role),
                transport,
                peer_received=received,
            )

    def let_go(self) -> None:
        """Let the wires refer to no session; they are cycles, and so would keep it."""
        for wire in self._wires:
            for transport in (wire.client, wire.server):
                transport.set_protocol(asyncio.Protocol())

    async def close(self) -> None:
        """End both sessions."""
        await asyncio.gather(self.server.close(), self.client.close())


SOON = 3


CLIENT = NegotiationContext("client", 1 << 20)


async def received(session: Session, count: int) -> list[str | bytes]:
    """So many messages, which have to come soon."""
    async with asyncio.timeout(SOON):
        return [await session.receive() for _ in range(count)]


async def turns(count: int = 5) -> None:
    """Let what is under way go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def small(**bounds: Any) -> Callable[[], Journal]:
    """Makes journals with these bounds."""
    return lambda: Journal(**bounds)


def history() -> Sequence[tuple[Extension, Codec]]:
    """A codec whose two sides have to start anew together."""
    extension = History()
    return [(extension, extension.make_codec(Params(), CLIENT))]
