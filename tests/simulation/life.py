"""One cell of the life table: who does what, where in a session's life, and what has to come of it.

A cell has an actor, which does something, and an observer at the other end, which writes down what
reaches it. The cells are listed in ``test_life_table.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.extensions import Append
from tests.waiting import sessions_gone, until
from wsext import (
    App,
    CloseInfo,
    ConnectionClosed,
    Frame,
    HandshakeError,
    Listener,
    Request,
    Session,
    WebSocketOptions,
    hookimpl,
)
from wsext.runtime.life import life_of
from wsext.testing import World

__all__ = ["LARGE", "STREAMED", "Boom", "Cell", "Mapped", "Seen", "play"]

LARGE = "x" * 70_000
STREAMED = "abc" * 3
#: Virtual seconds within which every session has to be over.
BOUND = 60.0


class Boom(Exception):
    """What an application raises by mistake: 1011."""


class Mapped(Exception):
    """What an application raises on purpose: 4403 by `App.map_exception`."""


@dataclass(frozen=True)
class Cell:
    """One case.

    Attributes:
        side: Who acts: ``server`` or ``client``.
        http2: Whether the session runs over HTTP/2.
        kind: The server's handler: ``coroutine``, ``listener`` or ``raw``.
        where: In which part of the session's life the actor acts.
        doing: What it does.
    """

    side: str
    http2: bool
    kind: str
    where: str
    doing: str

    def __str__(self) -> str:
        http = "http2" if self.http2 else "http1"
        return f"{self.side}-{http}-{self.kind}-{self.where}-{self.doing.replace(' ', '_')}"


@dataclass
class Seen:
    """What the observer has seen.

    Attributes:
        messages: What has arrived, up to the end.
        observer, actor: How the session ended at either side; ``None`` if that side had none.
        refused: What the client got instead of a session.
        finished: The virtual time at which all that was known.
    """

    messages: list[Any] = field(default_factory=list)
    observer: CloseInfo | None = None
    actor: CloseInfo | None = None
    refused: BaseException | None = None
    finished: float = 0.0


# --- what an actor does -------------------------------------------------------------------------


async def _pieces() -> AsyncIterator[str]:
    for _ in range(3):
        await asyncio.sleep(0.01)
        yield "abc"


async def act(session: Session, doing: str, raw: bool) -> None:
    """Do it where there is time to wait."""
    send: Any = _raw_send if raw else Session.send
    if doing == "small":
        await send(session, "small")
    elif doing == "large":
        await send(session, LARGE)
    elif doing == "stream":
        if raw:
            for opcode, fin in ((1, False), (0, False), (0, True)):
                await session.send_frame(Frame(opcode, b"abc", fin))
        else:
            await session.send(_pieces())
    else:
        if doing != "abort":
            with suppress(ConnectionClosed):
                await send(session, "before")
        if doing == "close" and not raw:
            await session.close(4001, "bye")
        elif doing == "close":
            await session.send_frame(Frame(8, (4001).to_bytes(2, "big") + b"bye"))
        elif doing == "be cancelled":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        else:
            _end(session, doing)


async def _raw_send(session: Session, text: str) -> None:
    await session.send_frame(Frame(1, text.encode()))


def act_now(session: Session, doing: str, raw: bool) -> None:
    """Do it where nothing may wait: in hooks and in a listener's methods."""
    if doing == "stream" or (raw and doing in ("small", "large", "close")):
        session.create_task(act(session, doing, raw))
        return
    if doing in ("small", "large"):
        session.send_nowait("small" if doing == "small" else LARGE)
        return
    if not raw and doing != "abort":
        with suppress(ConnectionClosed):
            session.send_nowait("before")
    if doing == "close":
        session.close_nowait(4001, "bye")
    else:
        _end(session, doing)


def _end(session: Session | None, doing: str) -> None:
    if doing == "abort" and session is not None:
        session.abort()
    elif doing == "raise":
        raise Boom("boom")
    elif doing == "raise mapped":
        raise Mapped("mapped")
    elif doing == "be cancelled":
        task = asyncio.current_task()
        if task is not None:
            task.cancel()


# --- the app ------------------------------------------------------------------------------------


class _Hooks:
    """Acts when a session opens."""

    def __init__(self, doing: str, raw: bool) -> None:
        self.doing, self.raw = doing, raw

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        act_now(session, self.doing, self.raw)


def make_app(cell: Cell, seen: Seen) -> App:
    """The server of a cell; when the client acts, its handler observes."""
    acts = cell.side == "server"
    app = App(options=WebSocketOptions(ping_interval=None, close_timeout=5.0))
    app.map_exception(Mapped, 4403, "mapped")
    app.install(Append)
    if acts and cell.where == "wsext_session_opened":
        app.install(_Hooks(cell.doing, cell.kind == "raw"))

    async def guard(request: Request) -> None:
        if cell.doing == "be cancelled":
            _end(None, cell.doing)
            await asyncio.sleep(0)
        _end(None, cell.doing)

    guards = [guard] if acts and cell.where == "guard" else []
    if not acts:
        app.websocket("/")(_observing_handler(seen))
    elif cell.kind == "listener":
        app.websocket("/", guards=guards)(_listener(cell, seen))
    elif cell.kind == "raw":
        app.websocket_raw("/", guards=guards)(_acting_handler(cell, seen))
    else:
        app.websocket("/", guards=guards)(_acting_handler(cell, seen))
    return app


def _observing_handler(seen: Seen) -> Callable[[Session], Any]:
    async def observe(session: Session) -> None:
        with suppress(ConnectionClosed):
            async for message in session:
                seen.messages.append(message)
        seen.observer = await session.wait_closed()

    return observe


def _acting_handler(cell: Cell, seen: Seen) -> Callable[[Session], Any]:
    raw = cell.kind == "raw"

    async def handler(session: Session) -> None:
        life_of(session).add_callback(lambda info: setattr(seen, "actor", info))
        if cell.where == "on_close":
            life_of(session).add_callback(lambda info: act_now(session, cell.doing, raw))
        if cell.where == "handler":
            await act(session, cell.doing, raw)
            return
        if cell.where == "task":
            session.create_task(act(session, cell.doing, raw))
        if not raw:
            async for _ in session:
                pass
            return
        while True:  # a raw session answers a Close frame itself
            frame = await session.receive_frame()
            if frame.opcode == 8:
                await session.send_frame(Frame(8, frame.payload))
                return

    return handler


def _listener(cell: Cell, seen: Seen) -> type[Listener]:
    class Acting(Listener):
        def __init__(self) -> None:
            if cell.where == "constructor":
                _end(None, cell.doing)

        def on_open(self, session: Session) -> None:
            if cell.where == "on_open":
                act_now(session, cell.doing, False)
            elif cell.where == "task":
                session.create_task(act(session, cell.doing, False))

        def on_message(self, session: Session, message: str | bytes) -> None:
            if cell.where == "on_message":
                act_now(session, cell.doing, False)

        def on_close(self, session: Session, info: CloseInfo) -> None:
            seen.actor = info
            if cell.where == "on_close":
                act_now(session, cell.doing, False)

    return Acting


# --- the client ---------------------------------------------------------------------------------


async def play(world: World, cell: Cell) -> Seen:
    """Run a cell, and tell what was seen."""
    seen = Seen()
    server = await world.serve(make_app(cell, seen))
    client = _observe if cell.side == "server" else _act_as_client
    async with asyncio.timeout(BOUND * 2):
        await asyncio.wait({asyncio.create_task(client(world, server, cell, seen), name="client")})
    async with asyncio.timeout(BOUND):
        await sessions_gone(server)
        if cell.side == "client":
            await until(lambda: seen.observer is not None)
    seen.finished = asyncio.get_running_loop().time()
    return seen


def _connect(world: World, server: Any, cell: Cell) -> Any:
    extensions: list[Any] = [Append]
    if cell.side == "client" and cell.where == "wsext_session_opened":
        extensions.append(_Hooks(cell.doing, False))
    options = WebSocketOptions(ping_interval=None, close_timeout=5.0)
    return world.connect(
        server, "/", http2=cell.http2, extensions=extensions, options=options, open_timeout=BOUND
    )


async def _observe(world: World, server: Any, cell: Cell, seen: Seen) -> None:
    """The client of a cell whose server acts: takes what comes, and closes if the server does
    not."""
    try:
        session = await _connect(world, server, cell)
    except (HandshakeError, OSError, TimeoutError) as error:
        seen.refused = error
        return
    if cell.where == "on_message":
        await session.send("go")
    with suppress(ConnectionClosed, TimeoutError):
        while True:
            async with asyncio.timeout(20):  # longer than any network here takes
                seen.messages.append(await session.receive())
    await session.close(1000)
    seen.observer = await session.wait_closed()


async def _act_as_client(world: World, server: Any, cell: Cell, seen: Seen) -> None:
    try:
        async with _connect(world, server, cell) as session:
            life_of(session).add_callback(lambda info: setattr(seen, "actor", info))
            if cell.where == "on_close":
                life_of(session).add_callback(lambda info: act_now(session, cell.doing, False))
            elif cell.where == "wsext_session_opened":
                await asyncio.sleep(5)
            elif cell.where == "handler":
                await act(session, cell.doing, False)
            elif cell.where == "task":
                task = session.create_task(act(session, cell.doing, False))
                await asyncio.wait({task})
    except (Boom, Mapped, ConnectionClosed) as error:
        seen.refused = error
