"""The fronts on which an extension is used, each with a peer that sees what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

import wsext
from tests.integrations.adapted import serving, url_of
from tests.integrations.served import Receive, Scope, Send
from tests.outcomes import on_sync, on_trio
from tests.outcomes.faulty import NAME, Faultless
from tests.raw import masked
from tests.raw import raw_peer as tcp_peer
from wsext import App, Frame, Session, SharedContext, WebSocketOptions
from wsext.integrations.uvicorn import WebSocketProtocol
from wsext.protocol.handshake import build_request
from wsext.protocol.http import serialize_request
from wsext.testing import RawPeer, Transcript, World, calm, simulate
from wsext.testing.simulation.loop import no_automatic_collection

__all__ = ["FRONTS", "Seen"]

#: What the peer sends, and what comes back while nothing fails.
MESSAGE = b"a message"

#: A peer that shows every byte answers no pings.
OPTIONS = WebSocketOptions(origins=None, ping_interval=None)


@dataclass
class Seen:
    """What the peer of a connection has seen.

    Attributes:
        status: How the handshake was answered; 0 if it never was.
        agreed: Whether the extension was.
        echoed: The messages that came back.
        close: Code and reason of the Close frame.
        wire: Every byte.
        raised: What this side's `connect` raised.
    """

    status: int = 0
    agreed: bool = False
    echoed: list[bytes] = field(default_factory=list)
    close: tuple[int, str] | None = None
    wire: bytes = b""
    raised: BaseException | None = None

    def take(self, frames: list[Frame]) -> None:
        for frame in frames:
            payload = bytes(frame.payload)
            if frame.opcode == 8:
                self.close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            elif frame.opcode < 3:
                self.echoed.append(payload)


async def _talk(peer: RawPeer, seen: Seen) -> None:
    """Do the handshake, send a message, and close once it has come back."""
    peer.send(serialize_request(build_request("memory", "/", extensions=NAME)))
    try:
        response = await asyncio.wait_for(peer.receive_response(), 100)
    except TimeoutError:
        return
    seen.status = response.status_code
    seen.agreed = NAME in response.headers.get("Sec-WebSocket-Extensions", "")
    if seen.status != 101:
        return
    peer.send_frame(Frame(2, MESSAGE))
    frame = await peer.receive_frame()
    if frame is not None and frame.opcode < 8:
        peer.send_frame(Frame(8, (1000).to_bytes(2, "big")))
    while frame is not None:
        seen.take([frame])
        frame = await peer.receive_frame()


async def _echo(session: Session) -> None:
    """As a broadcast, which is encoded once for all that can share it."""
    async for message in session:
        wsext.broadcast([session], message, context=SharedContext())


def _app(*installed: Any) -> App:
    app = App(options=OPTIONS)
    for item in installed:
        app.install(item)
    app.websocket("/")(_echo)
    return app


def _talking() -> App:
    """An app that speaks first, whose extension does not fail."""
    app = _app(Faultless)

    async def talk(session: Session) -> None:
        await session.send(MESSAGE)
        await session.receive()

    app.websocket("/talk")(talk)
    return app


def server(*installed: Any) -> Seen:
    """A wsext server; the peer is a client that shows every byte."""
    seen, app = Seen(), _app(*installed)

    async def scenario(world: World) -> None:
        running = await world.serve(app)
        async with world.raw_peer(running, shake=False) as peer:
            await _talk(peer, seen)
        seen.wire = peer.transcript.raw("server")

    simulate(scenario, weather=calm)
    return seen


def client(*installed: Any) -> Seen:
    """A wsext client; the peer is a server whose extension does not fail."""
    seen, transcript = Seen(), Transcript()
    app = _talking()

    async def scenario(world: World) -> None:
        running = await world.serve(app)
        try:
            async with world.connect(
                running, "/talk", transcript=transcript, extensions=installed, options=OPTIONS
            ) as session:
                seen.agreed = session.extension(NAME, None) is not None
                with suppress(wsext.ConnectionClosed):
                    wsext.broadcast([session], await session.receive(), context=SharedContext())
                    await session.wait_closed()
        except Exception as error:
            seen.raised = error
        seen.status = 101 if transcript.raw("client") else 0

    simulate(scenario, weather=calm)
    seen.take(transcript.frames("client"))
    seen.wire = transcript.raw("client")
    return seen


def uvicorn_(*installed: Any) -> Seen:
    """uvicorn with this project's protocol class; the peer is as for `server`."""
    seen, transcript = Seen(), Transcript()
    settings = App(options=OPTIONS)
    for item in installed:
        settings.install(item)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            session = scope["extensions"]["wsext"]["session"]
            wsext.broadcast([session], event["bytes"], context=SharedContext())

    async def scenario(world: World) -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, ws_ping_interval=None)
        config.load()
        wire = await world.network.connect(None, transcript.record)
        protocol = WebSocketProtocol.using(settings)(config, ServerState(), {})
        wire.server.set_protocol(protocol)
        protocol.connection_made(wire.server)
        peer = RawPeer(None, transcript, wire.client)  # type: ignore[arg-type]
        wire.client.set_protocol(peer)
        await _talk(peer, seen)
        peer.abort()

    simulate(scenario, weather=calm)
    seen.wire = transcript.raw("server")
    return seen


@no_automatic_collection()  # `websockets` tells an extension of the end by letting go of it
def websockets(kind: type[Faultless]) -> Seen:
    """A server of ``websockets`` with the adapter; it is armed when it has been rehearsed."""
    seen = Seen()
    kind.armed = False  # type: ignore[attr-defined]

    async def talk() -> None:
        async with serving(kind) as running:
            kind.armed = True  # type: ignore[attr-defined]
            async with tcp_peer(int(url_of(running).rsplit(":")[-1].strip("/"))) as peer:
                head = await peer.shake(more=f"Sec-WebSocket-Extensions: {NAME}\r\n")
                seen.status = int(head.split()[1])
                seen.agreed = NAME in head
                peer.send(masked(2, MESSAGE))
                frame = await peer.frame()
                if frame is not None and frame.opcode < 8:
                    peer.send(masked(8, (1000).to_bytes(2, "big")))
                while frame is not None:
                    seen.take([frame])
                    frame = None if seen.close else await peer.frame()
            seen.wire = head.encode() + repr(seen).encode()

    asyncio.run(asyncio.wait_for(talk(), 10))
    return seen


def trio_server(*installed: Any) -> Seen:
    """A server on trio; the peer is as for `server`."""
    seen = Seen()
    on_trio.talk(_app(*installed), MESSAGE, seen)
    return seen


def trio_client(*installed: Any) -> Seen:
    """A client on trio; the peer is as for `client`."""
    seen, app = Seen(), _talking()
    on_trio.open_session(app, installed, OPTIONS, seen)
    return seen


def sync_client(*installed: Any) -> Seen:
    """A client without an event loop; the peer is as for `client`."""
    seen = Seen()
    on_sync.open_session(MESSAGE, installed, seen)
    return seen


FRONTS: dict[str, Callable[..., Seen]] = {
    "server": server,
    "client": client,
    "uvicorn": uvicorn_,
    "websockets": websockets,
    "trio server": trio_server,
    "trio client": trio_client,
    "sync client": sync_client,
}
