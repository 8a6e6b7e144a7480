"""The app that is attacked: a route for each thing that an application does with its peers."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any

import wsext
from tests.codecs import AsyncInflate, Hung
from wsext import App, HandshakeRejected, Listener, Request, Response, Session, hookimpl

app = App()
app.install(AsyncInflate)
app.install(Hung)
sessions = 0
dialled: set[asyncio.Task[None]] = set()


class Count:
    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        global sessions
        sessions += 1

    @hookimpl
    def wsext_session_closed(self, session: Session, info: Any) -> None:
        global sessions
        sessions -= 1


app.install(Count())


@app.http("/state")
def state(request: Request) -> Response:
    """How many sessions and tasks this process has."""
    state = {"pid": os.getpid(), "sessions": sessions, "tasks": len(asyncio.all_tasks())}
    return Response(200, json.dumps(state))


@app.http("/form", methods=["POST"])
def form(request: Request) -> str:
    return str(len(request.body))


@app.websocket("/")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


@app.websocket("/block")
async def computes_for_ever(session: Session) -> None:
    while True:
        pass


@app.websocket("/silent")
async def reads_nothing(session: Session) -> None:
    await session.wait_closed()


@app.websocket("/slow")
async def reads_slowly(session: Session) -> None:
    async for _ in session:
        await asyncio.sleep(0.05)


@app.websocket("/flood")
async def sends_for_ever(session: Session) -> None:
    while True:
        await session.send(bytes(50_000))


@app.websocket("/bye")
async def ends_at_once(session: Session) -> None:
    pass


@app.websocket("/chunks")
async def streams(session: Session) -> None:
    while True:
        async for _ in session.receive_stream():
            pass


@app.websocket("/room/<name>")
async def room(session: Session, name: str) -> None:
    async with app.room(name).join(session, history=10) as members:
        async for message in session:
            await members.broadcast(message)
            del message  # or this handler would keep it until the next one comes


@app.websocket("/rooms")
async def says_where_it_is_told(session: Session) -> None:
    """The first line of a message is the room, the rest is said there."""
    async for message in session:
        where, _, text = str(message).partition("\n")
        async with app.room(where).join(session) as members:
            await members.broadcast(text)


@app.websocket("/stays")
async def stays_where_it_was(session: Session) -> None:
    """Each message names a room to be in, too."""
    async for message in session:
        app.room(str(message)).join_nowait(session)


@app.websocket("/again")
async def joins_again(session: Session) -> None:
    """Each message names a room to come into, read its history, and leave."""
    async for message in session:
        async with app.room(str(message)).join(session, history=100):
            pass


@app.websocket("/named/<name>")
async def named(session: Session, name: str) -> None:
    session.name = name
    async with app.room("named").join(session, info={"about": name}):
        await session.wait_closed()


@app.websocket("/visits")
class Visits(Listener):
    """Each message is a visit to a room."""

    def on_message(self, session: Session, message: str | bytes) -> None:
        app.room("visited").join_nowait(session).leave()


async def known(request: Request) -> None:
    """The guard of docs/operating.md."""
    if request.headers.get("Authorization", "").removeprefix("Bearer ") != "s3cret":
        raise HandshakeRejected(401, "who are you?", {"WWW-Authenticate": "Bearer"})


app.websocket("/guarded", guards=[known])(echo)


# --- as a client ------------------------------------------------------------------------------


async def _reads(session: Session) -> None:
    async for _ in session:
        pass


async def _sends(session: Session) -> None:
    while True:
        await session.send(bytes(50_000))


KINDS = {
    "reads": _reads,
    "silent": Session.wait_closed,
    "sends": _sends,
    "echoes": echo,
    "tls": _reads,
    "http2": _reads,
}
EXTENSIONS = ["permessage-deflate"]


@app.http("/dial/<int:port>/<int:count>/<kind>")
async def dial(request: Request, port: int, count: int, kind: str) -> Response:
    """Connect to a server so often; what then happens is the session's `KINDS`.

    ``again`` reads with the iterator that connects again.
    """
    for _ in range(count):
        scheme = "wss" if kind == "tls" else "ws"
        task = asyncio.create_task(_dial(f"{scheme}://127.0.0.1:{port}/", kind))
        dialled.add(task)
        task.add_done_callback(dialled.discard)
    return Response(200, "{}")


async def _dial(url: str, kind: str) -> None:
    with suppress(wsext.WsextError, OSError):
        if kind == "again":
            async for session in wsext.connect(url, extensions=EXTENSIONS):
                await _reads(session)
        else:
            http2 = kind == "http2"
            async with wsext.connect(url, extensions=EXTENSIONS, http2=http2) as session:
                await KINDS[kind](session)


@app.http("/hang-up")
async def hang_up(request: Request) -> Response:
    """End what was dialled."""
    for task in dialled:
        task.cancel()
    return Response(200, "{}")
