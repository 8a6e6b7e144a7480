"""The app of the bench's rooms: members come back with a position, publishers with ids."""

from __future__ import annotations

from wsext_resume import SessionResume

from tests.chaos.served import options
from wsext import App, RoomMessage, RoomOptions, ServerOptions, Session, WebSocketOptions

__all__ = ["app"]


def stamp(message: RoomMessage) -> str:
    """What members get: the position and the message."""
    return f"{message.position} {message.data!s}"


app = App(
    options=WebSocketOptions(**options()),
    server=ServerOptions(handshake_rate=None, max_connections_per_address=None, drain_timeout=1),
    rooms=RoomOptions(recovery=True, stamp=stamp),
)
app.install(SessionResume(max_rate=6000, max_per_peer=100_000))


@app.websocket("/hear/<room>")
async def hear(session: Session, room: str) -> None:
    since = str(await session.receive()) or None
    async with app.room(room).join(session, since=since) as members:
        missed = "-" if members.missed is None else members.missed.reason
        session.send_nowait(f"{members.position} joined {missed}")
        await session.wait_closed()


@app.websocket("/say/<room>")
async def say(session: Session, room: str) -> None:
    async for message in session:
        await app.room(room).broadcast(message, id=str(message))
        await session.send(message)
