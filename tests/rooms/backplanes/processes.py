"""Processes that share rooms: an app each, with a hub of its own, and clients of it."""

from __future__ import annotations

__all__ = ["Client", "Process", "joined", "processes"]

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import wsext
from wsext import App, Membership, RoomOptions, Server, Session


class Process:
    """An app with its own hub, as another process would have one, and sessions of it.

    ``/ROOM`` joins; whatever a client sends is broadcast.

    Attributes:
        server: Where it is served.
        joined: Who has joined.
    """

    server: Server

    def __init__(self, url: str, **rooms: Any) -> None:
        self.app = App(backplane=url, rooms=RoomOptions(**{"history": 100, **rooms}))
        self.joined: asyncio.Queue[Membership] = asyncio.Queue()

        @self.app.websocket("/<room>")
        async def chat(session: Session, room: str) -> None:
            session.name = session.request.query.get("name", "x")
            history = int(session.request.query.get("history", "0"))
            since = session.request.query.get("since")
            async with self.app.room(room).join(session, history=history, since=since) as members:
                if members.missed is not None:
                    await session.send(f"missed: {members.missed.reason}")
                self.joined.put_nowait(members)
                async for message in session:
                    await members.broadcast(message)


@asynccontextmanager
async def processes(url: str | None, count: int, **rooms: Any) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        made = [Process(url or "memory://tests", **rooms) for _ in range(count)]
        for process in made:
            process.server = await stack.enter_async_context(wsext.serve(process.app))
        yield made


class Client:
    """A session that has joined."""

    def __init__(self, session: Session, members: Membership) -> None:
        self.session = session
        self.members = members

    async def receive(self, count: int) -> list[str]:
        async with asyncio.timeout(20):
            return [str(await self.session.receive()) for _ in range(count)]


@asynccontextmanager
async def joined(process: Process, path: str) -> AsyncIterator[Client]:
    async with wsext.connect(f"{process.server.url}/{path}") as session:
        yield Client(session, await process.joined.get())
