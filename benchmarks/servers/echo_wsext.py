"""wsext: ``coro`` or ``listener``, with ``-hook`` also a plugin whose hooks no message meets.

No-op extensions, session-resume and permessage-zstd are agreed when the load offers them;
WSEXT_CODEC chooses the codec. The room is an `App.room` for ``coro``, over the broker if there is
one, and a loop that sends a `PreparedMessage`, within a `SharedContext`, for ``listener``.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import cycle
from typing import Any

from no_op import no_op
from orders import Place
from shared import BROKER, FOLDER, LARGEST, PORT, TLS, VARIANT, names

from wsext import (
    App,
    Dispatcher,
    Listener,
    RoomOptions,
    ServerOptions,
    Session,
    WebSocketOptions,
    hookimpl,
    on,
)

app = App(
    options=WebSocketOptions(max_message_size=LARGEST, ping_interval=None),
    server=ServerOptions(max_connections=None),
    rooms=RoomOptions(max_rooms_per_session=100_000),
    backplane=BROKER or None,
)
app.install("permessage-deflate")
if (FOLDER / "feed.zdict").exists():
    app.install("permessage-zstd", dictionaries=[str(FOLDER / "feed.zdict")])
members: set[Session] = set()


class Plugin:
    """Hooks that are called once per session."""

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        pass

    @hookimpl
    def wsext_session_closed(self, session: Session) -> None:
        pass


for number in range(3):
    app.install(no_op(number))
app.install("session-resume")
if VARIANT.endswith("-hook"):
    app.install(Plugin())


if VARIANT.startswith("listener"):

    @app.websocket("/")
    class Echo(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message)

else:

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)


try:
    from wsext import PreparedMessage
except ImportError:  # not in this version yet
    PreparedMessage = str  # type: ignore[assignment,misc]
try:
    from wsext import SharedContext
except ImportError:  # not in this version yet
    context = None
else:
    context = SharedContext()

if VARIANT.startswith("listener") or not hasattr(app, "room"):

    @app.websocket("/room")
    class Member(Listener):
        def on_open(self, session: Session) -> None:
            members.add(session)

        def on_close(self, session: Session, info: Any) -> None:
            members.discard(session)

    @app.websocket("/publish")
    class Publish(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            prepared = PreparedMessage(message)
            if context is not None:
                prepared = prepared.within(context)
            for member in members:
                member.send_nowait(prepared)

else:

    @app.websocket("/room")
    async def member(session: Session) -> None:
        async with app.room("tea").join(session):
            async for _ in session:
                pass

    @app.websocket("/publish")
    async def publish(session: Session) -> None:
        room = app.room("tea")
        async for message in session:
            await room.broadcast(message)


@app.websocket("/typed")
class Typed(Dispatcher):
    """Messages in and out are checked."""

    @on(Place)
    def place(self, session: Session, message: Place) -> Place:
        return message


@app.websocket("/rooms/<int:count>")
async def rooms(session: Session, count: int) -> None:
    async with AsyncExitStack() as stack:
        joining = [app.room(name).join(session) for name in names(f"/{count}")]
        mine = [await stack.enter_async_context(each) for each in joining]
        for members in cycle(mine):
            await members.broadcast(await session.receive())


app.run("127.0.0.1", PORT, ssl=TLS)
