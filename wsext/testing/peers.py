"""Peers in memory: the full stack, from the handshake to the session, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from wsext.app.application import Application
from wsext.client.connect import connect as _connect
from wsext.client.opening import HTTP2Choice
from wsext.client.targets import Target
from wsext.errors import InvalidHandshake
from wsext.protocol import handshake
from wsext.protocol.frames import Frame
from wsext.protocol.http import HTTPResponse, Request, ResponseReader, serialize_request
from wsext.protocol.wire import MaskSource
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers
from wsext.sdk.values import as_list
from wsext.server.server import Server
from wsext.testing.clock import Clock, make_clock, settle
from wsext.testing.engines import lenient_parser, write_wire
from wsext.testing.memory import MemoryTransport, Wire
from wsext.testing.transcript import Transcript

__all__ = ["ClientSession", "RawPeer", "WireConnect", "connect", "pair", "raw_peer", "raw_peer_on"]


class PeerServer(Protocol):
    """The server on the other side: a `wsext.Server`, or what runs an ASGI application."""

    timers: Timers

    @property
    def sessions(self) -> Collection[Session]:
        """The sessions now."""

    async def start(self) -> None:
        """Start the application."""

    def new_connection(self) -> asyncio.BaseProtocol:
        """The protocol of one more connection."""

    async def close(self) -> None:
        """Close every session."""

    async def wait_closed(self) -> None:
        """End the application; raises what has failed there."""


class ClientSession(Session):
    """A client's session in memory, with what a test wants to reach.

    Attributes:
        clock: Moves pings and timeouts of both sides.
        transcript: Every byte of both sides.
        server: The server on the other side, for an app a `wsext.Server`; ``server.sessions`` are
            its sessions.
    """

    clock: Clock
    transcript: Transcript
    server: Any

    @property
    def peer(self) -> Session:
        """The server's side of this session.

        Raises:
            LookupError: When the server's handler has ended.
        """
        session: Session
        for session in self.server.sessions:
            return session
        raise LookupError("the server's handler has ended")


class WireConnect(_connect):
    """`wsext.connect` over a connection in memory."""

    def __init__(
        self,
        server: PeerServer,
        path: str,
        make_wire: Callable[[], Awaitable[Wire]],
        **options: Any,
    ) -> None:
        super().__init__(f"ws://memory{path}", proxy=None, **options)
        self._server = server
        self._make_wire = make_wire

    async def _connect(self, request: Request, choice: HTTP2Choice, target: Target) -> Any:
        wire = await self._make_wire()
        protocol = self.protocol_class(request, choice, self._limits)
        _accept(self._server, wire)
        wire.client.set_protocol(protocol)
        protocol.connection_made(wire.client)
        return protocol


class _MemoryConnect(WireConnect):
    session_class = ClientSession

    def __init__(self, server: PeerServer, *arguments: Any, **options: Any) -> None:
        super().__init__(server, *arguments, **options)
        self._timers = server.timers


def _accept(server: PeerServer, wire: Wire) -> None:
    """Let a server have its end of a connection."""
    protocol = server.new_connection()
    wire.server.set_protocol(protocol)
    protocol.connection_made(wire.server)


@asynccontextmanager
async def _serving(
    app: Any, settings: Application | None
) -> AsyncIterator[tuple[PeerServer, Clock]]:
    """A server that listens nowhere, and the clock that it goes by."""
    clock = make_clock()
    server = _make_server(app, settings, clock)
    try:
        await server.start()
        yield server, clock
    finally:
        await settle()
        await server.close()
        await server.wait_closed()


def _make_server(app: Any, settings: Application | None, clock: Clock) -> PeerServer:
    if isinstance(app, Application):
        if settings is not None:
            raise TypeError("settings are for an ASGI application: an App has its own")
        return Server(app, timers=clock)
    if not callable(app):
        raise TypeError(f"expected a wsext.App or an ASGI application, got {app!r}")
    try:
        from wsext.testing.asgi import ASGIServer  # needs uvicorn
    except ModuleNotFoundError as error:
        problem = "testing an ASGI application needs uvicorn: pip install 'wsext[uvicorn]'"
        raise RuntimeError(problem) from error
    return ASGIServer(app, settings, clock)


@asynccontextmanager
async def connect(
    app: Any,
    path: str = "/",
    *,
    settings: Application | None = None,
    transcript: Transcript | None = None,
    **options: Any,
) -> AsyncIterator[ClientSession]:
    """A session with an app, in memory: handshake, negotiation, extensions, handlers, everything.

    ::

        async with wsext.testing.connect(app, "/echo", extensions=["permessage-deflate"]) as client:
            await client.send("hello")
            assert await client.receive() == "hello"
            print(client.transcript)
            await client.clock.advance(60)

    An ASGI application runs as under uvicorn with ``--ws wsext.integrations.uvicorn:Protocol``. Its
    lifespan begins with the first client that there is, and ends with the last one.

    Args:
        app: A `wsext.App`, or any ASGI application: FastAPI's, Starlette's, your own.
        path: The path and query.
        settings: For an ASGI application: what `WebSocketProtocol.using` takes. By default every
            installed wire extension is on, as ``wsext.toml`` and the environment say.
        transcript: Where to record; by default a new one.
        options: What `wsext.connect` takes: ``extensions``, ``subprotocols``, ``headers`` and so
            on.

    Raises:
        What `wsext.connect` raises; `RuntimeError` if the lifespan of an ASGI application fails.
    """
    recorded = transcript or Transcript()

    async def make_wire() -> Wire:
        return Wire(recorded.record)

    async with (
        _serving(app, settings) as (server, clock),
        _MemoryConnect(server, path, make_wire, **options) as session,
    ):
        assert isinstance(session, ClientSession)
        session.clock, session.transcript, session.server = clock, recorded, server
        yield session


@asynccontextmanager
async def pair(
    extensions: Iterable[Any] = (),
    *,
    client: Iterable[Any] | None = None,
    app_options: Any = None,
    client_options: Any = None,
    transcript: Transcript | None = None,
) -> AsyncIterator[tuple[ClientSession, Session]]:
    """A client's and a server's session with each other, in memory.

    Args:
        extensions: What both sides install.
        client: What the client installs instead.
        app_options: The `WebSocketOptions` of the server's side.
        client_options: Those of the client's.
        transcript: Where to record; by default a new one.
    """
    app = Application(options=app_options)
    extensions = as_list("extensions", extensions)
    for item in extensions:
        app.install(item)
    sessions: asyncio.Queue[Session] = asyncio.Queue()

    @app.websocket("/")
    async def hand_over(session: Session) -> None:
        sessions.put_nowait(session)
        await session.wait_closed()

    offered = extensions if client is None else as_list("client", client)
    opening = connect(app, "/", extensions=offered, options=client_options, transcript=transcript)
    async with opening as session:
        yield session, await sessions.get()


class RawPeer(asyncio.Protocol):
    """A client that sends what it is told to, right or wrong, and sees what comes.

    Attributes:
        clock, transcript, server: As for `ClientSession`.
        response: The server's answer to the handshake, once there is one.
    """

    def __init__(
        self,
        server: PeerServer,
        transcript: Transcript,
        transport: MemoryTransport,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or make_clock()
        self.transcript = transcript
        self.server = server
        self.response: HTTPResponse | None = None
        self.ended = False
        self._transport = transport
        self._masks = MaskSource()
        self._reader = ResponseReader()
        self._parser = lenient_parser(masked=False)
        self._frames: list[Frame] = []
        self._arrived = asyncio.Event()

    # --- the transport's side -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        if self.response is None:
            self._read_response(lambda: self._reader.feed(data))
            data = self._reader.take_rest() if self.response is not None else b""
        if data:
            self._parser.feed(data, self._frames)
        self._arrived.set()

    def eof_received(self) -> bool:
        """The server sends nothing more."""
        if self.response is None:
            self._read_response(self._reader.feed_eof)
        self.ended = True
        self._arrived.set()
        return True

    def _read_response(self, read: Callable[[], HTTPResponse | None]) -> None:
        with suppress(InvalidHandshake):  # such as HTTP/2: it is in the transcript
            self.response = read()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.ended = True
        self._arrived.set()

    # --- what a test uses ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    def send_frame(self, frame: Frame, *, mask: bool = True) -> None:
        """Send a frame, whatever the rules say of it."""
        self.send(write_wire([frame], self._masks.next() if mask else b""))

    async def receive_frame(self) -> Frame | None:
        """The next frame of the server; ``None`` when there will be none."""
        while not self._frames and not self.ended:
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.pop(0) if self._frames else None

    async def receive_close(self) -> int | None:
        """Skip to the server's Close frame; its code, or ``None`` when there is none."""
        while (frame := await self.receive_frame()) is not None:
            if frame.opcode == 8:
                return int.from_bytes(frame.payload[:2], "big") if frame.payload else 1005
        return None

    async def receive_response(self) -> HTTPResponse:
        """The server's answer to the handshake."""
        while self.response is None:
            self._arrived.clear()
            await self._arrived.wait()
        return self.response

    def pause(self) -> None:
        """Read no more, as a peer that is too slow."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()


@asynccontextmanager
async def raw_peer_on(
    wire: Wire,
    server: PeerServer,
    path: str,
    extensions: str | None,
    headers: Mapping[str, str] | None,
    shake: bool,
    transcript: Transcript,
    clock: Clock | None = None,
) -> AsyncIterator[RawPeer]:
    """`raw_peer` on a connection that there is, with a server that has started."""
    peer = RawPeer(server, transcript, wire.client, clock)
    wire.client.set_protocol(peer)
    _accept(server, wire)
    try:
        if shake:
            request = handshake.build_request(
                "memory", path, extensions=extensions, headers=(headers or {}).items()
            )
            peer.send(serialize_request(request))
            await peer.receive_response()
        yield peer
    finally:
        peer.abort()


@asynccontextmanager
async def raw_peer(
    app: Any,
    path: str = "/",
    *,
    settings: Application | None = None,
    extensions: str | None = None,
    headers: Mapping[str, str] | None = None,
    shake: bool = True,
    transcript: Transcript | None = None,
) -> AsyncIterator[RawPeer]:
    """A client that may break every rule.

    Args:
        app, path, settings: As for `connect`.
        extensions: The value of ``Sec-WebSocket-Extensions``.
        headers: Additional request headers.
        shake: Do the opening handshake first; without it the test sends every byte.
        transcript: Where to record; by default a new one.
    """
    transcript = transcript or Transcript()
    wire = Wire(transcript.record)
    async with _serving(app, settings) as (server, clock):
        opening = raw_peer_on(wire, server, path, extensions, headers, shake, transcript, clock)
        async with opening as peer:
            yield peer
