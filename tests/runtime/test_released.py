"""What has ended is freed at once, by reference counting alone: an attack must not leave its
memory to the collector, which may come much later."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import wsext
from tests.codecs import AsyncBroken, Broken, Gated, History, deflated
from tests.freed import kept_transports, left_to_the_collector, no_collector
from tests.integrations.served import running
from tests.raw import REQUEST, RawPeer, contexts, masked, raw_peer
from tests.resuming import Pair
from tests.waiting import until
from wsext import App, CloseInfo, ConnectionClosed, Listener, Session, WebSocketOptions, hookimpl
from wsext.compiled import CODEC
from wsext.runtime.life import life_of

#: Seconds in which something has to happen that takes no time at all.
SOON = 3


@pytest.fixture(autouse=True)
def collector_off() -> Iterator[None]:
    with no_collector():
        yield


class Watch:
    """Knows when the sessions that it was told of are gone."""

    def __init__(self) -> None:
        self.alive: set[weakref.ref[Session]] = set()
        self.seen = 0
        self.gone = asyncio.Event()

    def __call__(self, session: Session) -> None:
        self.seen += 1
        self.alive.add(weakref.ref(session, self._freed))

    def _freed(self, reference: weakref.ref[Session]) -> None:
        self.alive.discard(reference)
        self.gone.set()

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        self(session)

    async def freed(self) -> None:
        """Wait until none is left.

        Raises:
            AssertionError: With what holds on to one that stays.
        """
        assert self.seen
        with suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                while self.alive:
                    self.gone.clear()
                    await self.gone.wait()
        left = [session for reference in self.alive if (session := reference())]
        found = [item for item in gc.get_referrers(*left) if item is not left]
        holders = sorted({type(item).__qualname__ for item in found})
        stay = len(left)
        del left, found
        assert not stay, f"{stay} of {self.seen} sessions stay; they are held by: {holders}"


def make_app(watch: Watch) -> App:
    app = App(options=WebSocketOptions(close_timeout=0.2))
    for extension in ("permessage-deflate", History, Gated, Broken, AsyncBroken):
        app.install(extension)
    app.install(watch)
    app.map_exception(LookupError, 4404, "no such thing")

    @app.websocket("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    @app.websocket("/receive")
    async def receive(session: Session) -> None:
        while True:
            await session.send(await session.receive())

    @app.websocket("/fails")
    async def fails(session: Session) -> None:
        await session.receive()
        raise RuntimeError("on purpose")

    @app.websocket("/mapped")
    async def mapped(session: Session) -> None:
        await session.receive()
        raise LookupError("on purpose")

    def cancel_the_handler() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    @app.websocket("/cancelled")
    async def cancelled(session: Session) -> None:
        await asyncio.sleep(0)
        cancel_the_handler()
        await asyncio.Event().wait()

    @app.websocket("/task")
    async def task(session: Session) -> None:
        async def failing() -> None:
            await session.receive()
            raise RuntimeError("on purpose")

        session.create_task(failing())
        await session.wait_closed()

    @app.websocket("/waits")
    async def waits(session: Session) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(session.receive(), 0.01)
        await session.ping()
        await session.wait_closed()

    @app.websocket("/stream")
    async def stream(session: Session) -> None:
        async for part in session.receive_stream():
            session.send_nowait(part)
        await session.receive()

    @app.websocket("/room")
    async def room(session: Session) -> None:
        async with app.room("hall").join(session) as members:
            async for message in session:
                await members.broadcast(message)

    @app.websocket_raw("/raw")
    async def raw(session: Session) -> None:
        async for frame in session:
            await session.send_frame(frame)

    @app.websocket("/listener")
    class Echo(Listener):
        def on_open(self, session: Session) -> None:
            self.session = session

        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message)

        def on_close(self, session: Session, info: CloseInfo) -> None:
            session.state["info"] = info

    @app.websocket("/listener/fails")
    class Fails(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            raise RuntimeError("on purpose")

    @app.websocket("/listener/room")
    class InRoom(Listener):
        def on_open(self, session: Session) -> None:
            app.room("hall").join_nowait(session)

    return app


# --- how peers end sessions -----------------------------------------------------------------------


async def closes(peer: RawPeer) -> None:
    peer.send(masked(8, b"\x03\xe8"))
    async with asyncio.timeout(SOON):
        await peer.close_code()


async def talks_and_closes(peer: RawPeer) -> None:
    peer.send(masked(1, b"hello"))
    async with asyncio.timeout(SOON):
        await peer.frame()
    await closes(peer)


async def goes(peer: RawPeer) -> None:
    peer.writer.transport.abort()


async def resets(peer: RawPeer) -> None:
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()


async def breaks_the_protocol(peer: RawPeer) -> None:
    peer.send(masked(3, b"there is no such opcode"))
    async with asyncio.timeout(SOON):
        assert await peer.close_code() == 1002


async def bombs(peer: RawPeer) -> None:
    peer.send(masked(2, deflated(bytes(1 << 21)), rsv=0x40))
    async with asyncio.timeout(SOON):
        assert await peer.close_code() == 1009


async def corrupts(peer: RawPeer) -> None:
    peer.send(masked(2, b"\xff" * 20, rsv=0x40))
    async with asyncio.timeout(SOON):
        assert await peer.close_code() == 1007


async def is_told_of_a_failure(peer: RawPeer) -> None:
    peer.send(masked(2, b"hello"))
    async with asyncio.timeout(SOON):
        assert await peer.close_code() == 1011


async def says_something(peer: RawPeer) -> None:
    peer.send(masked(1, b"hello"))
    async with asyncio.timeout(SOON):
        assert await peer.close_code()
    peer.send(masked(8, b"\x03\xe8"))


async def is_dropped(peer: RawPeer) -> None:
    async with asyncio.timeout(SOON):
        assert await peer.frame() is None


async def pongs_and_closes(peer: RawPeer) -> None:
    async with asyncio.timeout(SOON):
        frame = await peer.frame()
    assert frame is not None
    peer.send(masked(10, bytes(frame.payload)))
    await closes(peer)


KINDS: dict[str, tuple[str, str, Callable[[RawPeer], Awaitable[None]]]] = {
    "a clean close": ("/echo", "", closes),
    "a clean close after a message": ("/echo", "", talks_and_closes),
    "a close while it receives": ("/receive", "", talks_and_closes),
    "a peer that goes": ("/echo", "", goes),
    "a peer that resets": ("/echo", "", resets),
    "a protocol error": ("/echo", "", breaks_the_protocol),
    "a handler that fails": ("/fails", "", says_something),
    "a handler whose exception is mapped": ("/mapped", "", says_something),
    "a handler that is cancelled": ("/cancelled", "", is_dropped),
    "a task that fails": ("/task", "", says_something),
    "a timeout and a ping": ("/waits", "", pongs_and_closes),
    "a ping that nobody answers": ("/waits", "", goes),
    "a stream": ("/stream", "", talks_and_closes),
    "a room": ("/room", "", talks_and_closes),
    "a peer in a room that resets": ("/room", "", resets),
    "a raw session": ("/raw", "", goes),
    "a listener": ("/listener", "", talks_and_closes),
    "a listener whose peer resets": ("/listener", "", resets),
    "a listener that fails": ("/listener/fails", "", says_something),
    "a listener in a room": ("/listener/room", "", closes),
    "permessage-deflate": ("/echo", "permessage-deflate", talks_and_closes),
    "permessage-deflate and a reset": ("/echo", "permessage-deflate", resets),
    "an asynchronous codec": ("/echo", "x-gated", talks_and_closes),
    "a compression bomb": ("/echo", "permessage-deflate", bombs),
    "corrupt compression": ("/echo", "permessage-deflate", corrupts),
    "a codec that fails": ("/echo", "x-broken", is_told_of_a_failure),
    "an asynchronous codec that fails": ("/echo", "x-async-broken", is_told_of_a_failure),
    "stacked codecs": ("/listener", "permessage-deflate, x-gated", closes),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("path", "offer", "end"), KINDS.values(), ids=KINDS)
async def test_a_server_s_session_is_freed_when_it_has_ended(
    path: str, offer: str, end: Callable[[RawPeer], Awaitable[None]], secure: bool
) -> None:
    keeps = end is is_dropped or (path == "/task" and sys.version_info >= (3, 12))
    if keeps and CODEC == "python":
        pytest.skip("the frames of the sources keep what they throw into the handler or a task")
    watch = Watch()
    more = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
    served, context = contexts() if secure else (None, None)
    async with wsext.serve(make_app(watch), ssl=served) as server:
        for _ in range(3):
            async with raw_peer(server.port, context) as peer:
                assert "101" in await peer.shake(path, more)
                await end(peer)
        await watch.freed()
        await until(lambda: not server.connection_count)
        for _ in range(5):
            await asyncio.sleep(0)  # the transports close their sockets
        assert left_to_the_collector() == []
        assert kept_transports() == []


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application: echoes, denies, or never answers."""
    await receive()
    if scope["path"] == "/denied":
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/hangs":
        await receive()
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "fail":
            raise RuntimeError("on purpose")
        await send({**event, "type": "websocket.send"})


async def is_told(peer: RawPeer) -> None:
    peer.send(masked(1, b"fail"))
    async with asyncio.timeout(SOON):
        await peer.frame()


UNDER_UVICORN: dict[str, tuple[str, Callable[[RawPeer], Awaitable[None]]]] = {
    "a clean close": ("/echo", talks_and_closes),
    "a peer that resets": ("/echo", resets),
    "a protocol error": ("/echo", breaks_the_protocol),
    "an application that fails": ("/echo", is_told),
}


@pytest.mark.parametrize(("path", "end"), UNDER_UVICORN.values(), ids=UNDER_UVICORN)
async def test_a_session_under_uvicorn_is_freed_when_it_has_ended(
    path: str, end: Callable[[RawPeer], Awaitable[None]]
) -> None:
    watch = Watch()
    settings = App()
    settings.install(watch)
    async with running(answers, settings=settings, http="h11") as server:
        for _ in range(3):
            async with raw_peer(server.port) as peer:
                assert "101" in await peer.shake(path)
                await end(peer)
        await watch.freed()
        assert left_to_the_collector() == []


async def test_a_handshake_under_uvicorn_that_is_not_accepted_is_freed() -> None:
    async with running(answers, http="h11") as server:
        for path in ("/denied", "/hangs"):
            async with raw_peer(server.port) as peer:
                if path == "/denied":
                    assert "403" in await peer.shake(path)
                else:
                    peer.send(REQUEST.format(path=path, more="").encode())
                    await until(lambda: bool(server.server.server_state.tasks))
        await until(lambda: not server.server.server_state.connections)
        await until(lambda: not server.server.server_state.tasks)
        assert left_to_the_collector() == []


async def client_closes(session: Session) -> None:
    await session.send("hello")
    await session.receive()
    await session.close()


async def client_iterates(session: Session) -> None:
    await session.send("hello")
    async for _ in session:
        await session.close()


async def client_is_told(session: Session) -> None:
    await session.send("hello")
    with suppress(ConnectionClosed):
        while True:
            await session.receive()
    with suppress(ConnectionClosed):
        await session.send("too late")


async def client_aborts(session: Session) -> None:
    session.abort()
    await session.wait_closed()


CLIENTS: dict[str, tuple[str, list[Any], Callable[[Session], Awaitable[None]]]] = {
    "close": ("/echo", [], client_closes),
    "iteration": ("/echo", [], client_iterates),
    "closed by the server": ("/fails", [], client_is_told),
    "abort": ("/echo", [], client_aborts),
    "permessage-deflate": ("/echo", ["permessage-deflate"], client_closes),
    "stacked codecs": ("/echo", [History, Gated], client_closes),
    "stacked codecs and an abort": ("/echo", [History, Gated], client_aborts),
}


@pytest.mark.parametrize(("path", "extensions", "use"), CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("opened", ["awaited", "in a block"])
async def test_a_client_s_session_is_freed_when_it_has_ended(
    path: str, extensions: list[Any], use: Callable[[Session], Awaitable[None]], opened: str
) -> None:
    on_server, on_client = Watch(), Watch()

    async def run(url: str) -> None:
        if opened == "awaited":
            session = await wsext.connect(url, extensions=extensions)
            on_client(session)
            await use(session)
        else:
            async with wsext.connect(url, extensions=extensions) as session:
                on_client(session)
                await use(session)

    async with wsext.serve(make_app(on_server)) as server:
        for _ in range(3):
            async with asyncio.timeout(SOON):
                await run(server.url + path)
        await on_client.freed()
        await on_server.freed()
        assert left_to_the_collector() == []


async def test_a_session_is_freed_when_its_server_drains() -> None:
    watch = Watch()
    async with wsext.serve(make_app(watch)) as server:
        client = await wsext.connect(server.url + "/echo")
        listening = await wsext.connect(server.url + "/listener")
    await watch.freed()
    await client.wait_closed()
    await listening.wait_closed()


@pytest.mark.parametrize("end", ["closed", "given up", "aborted", "failed"])
async def test_a_session_that_was_resumed_is_freed_when_it_has_ended(end: str) -> None:
    class Waiting(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message)

    watch = Watch()
    pair = Pair(listener=Waiting)
    watch(pair.server)
    watch(pair.client)
    for _ in range(3):
        pair.client.send_nowait("on its way")
        await pair.cut()
        pair.server.send_nowait("waits")
        sending = asyncio.create_task(pair.client.send("waits as well"))
        pinging = asyncio.create_task(pair.server.ping())
        await asyncio.sleep(0)
        pair.resume()
        await asyncio.gather(sending, pinging)
    if end == "closed":
        await pair.close()
    elif end == "failed":
        pair.wire.server.write(b"\xff\xff")
        await pair.server.wait_closed()
        await pair.client.wait_closed()
    else:
        await pair.cut()
        for session in (pair.server, pair.client):
            if end == "given up":
                life_of(session).give_up(LookupError("for the test"))
            else:
                session.abort()
            del session
    pair.let_go()
    del pair, sending, pinging
    async with asyncio.timeout(SOON):
        while watch.alive:
            watch.gone.clear()
            await watch.gone.wait()
    assert left_to_the_collector() == []
