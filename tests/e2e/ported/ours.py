"""The same programs for wsext, changed as docs/migrating.md says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wsext import (
    App,
    ConnectionClosed,
    Request,
    Response,
    Session,
    WebSocketOptions,
    basic_auth,
    broadcast,
    serve,
)


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[str]:
    async with serve(app, "127.0.0.1", 0) as server:
        yield server.url


@asynccontextmanager
async def hello() -> AsyncIterator[str]:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        name = await session.receive()
        await session.send(f"Hello, {name}!")

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    app = App()
    app.install("permessage-deflate")

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def counter() -> AsyncIterator[str]:
    app = App()
    users: set[Session] = set()
    value = 0

    @app.websocket("/")
    async def handler(session: Session) -> None:
        nonlocal value
        users.add(session)
        try:
            broadcast(users, json.dumps({"users": len(users)}))
            await session.send(json.dumps({"value": value}))
            async for message in session:
                value += json.loads(message)["add"]
                broadcast(users, json.dumps({"value": value}))
        finally:
            users.remove(session)
            broadcast(users, json.dumps({"users": len(users)}))

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def clock() -> AsyncIterator[str]:
    app = App()
    watching: set[Session] = set()

    @app.websocket("/")
    async def register(session: Session) -> None:
        watching.add(session)
        try:
            await session.wait_closed()
        finally:
            watching.remove(session)

    async def tick() -> None:
        number = 0
        while True:
            await asyncio.sleep(0.001)
            if watching:
                broadcast(watching, f"tick {number}")
                number += 1

    async with serving(app) as url:
        ticking = asyncio.create_task(tick())
        try:
            yield url
        finally:
            ticking.cancel()


@asynccontextmanager
async def both_ways() -> AsyncIterator[str]:
    app = App()

    async def consume(session: Session, numbers: asyncio.Queue[int]) -> None:
        async for message in session:
            numbers.put_nowait(int(message))

    async def produce(session: Session, numbers: asyncio.Queue[int]) -> None:
        while (number := await numbers.get()) >= 0:
            await session.send(str(number**2))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        numbers: asyncio.Queue[int] = asyncio.Queue()
        session.create_task(consume(session, numbers))
        await produce(session, numbers)

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def password() -> AsyncIterator[str]:
    auth = basic_auth(realm="staff", credentials=[("ada", "sesame"), ("bob", "honey")])
    app = App(guards=[auth])

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send(f"Hello, {session.identity}!")

    async with serving(app) as url:
        yield url


TOKENS = {"token-of-ada": "Ada"}


@asynccontextmanager
async def token_in_query() -> AsyncIterator[str]:
    def check(request: Request) -> Response | None:
        user = TOKENS.get(request.query.get("token", ""))
        if user is None:
            return Response(401, "wrong token\n")
        request.identity = user
        return None

    app = App(guards=[check])

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send(f"Hello, {session.identity}!")

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def token_first() -> AsyncIterator[str]:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        try:
            async with asyncio.timeout(5):
                user = TOKENS.get(str(await session.receive()))
        except TimeoutError:
            user = None
        if user is None:
            await session.close(1008, "wrong token")
            return
        await session.send(f"Hello, {user}!")

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def health() -> AsyncIterator[str]:
    app = App()

    @app.http("/healthz")
    def check(request: Request) -> str:
        return "OK\n"

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("no page")

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def routes() -> AsyncIterator[str]:
    app = App()

    @app.websocket("/rooms/<name>/<int:number>", subprotocols=["chat.v2", "chat.v1"])
    async def room(session: Session, name: str, number: int) -> None:
        await session.send(f"{name} {number + 1} {session.subprotocol}")

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def ends() -> AsyncIterator[str]:
    app = App(options=WebSocketOptions(max_message_size=1000))
    seen: list[str] = []

    @app.websocket("/")
    @app.websocket("/<path:how>")
    async def handler(session: Session, how: str = "") -> None:
        if how == "seen":
            await session.send(" ".join(seen))
        elif how == "raise":
            raise ValueError("a secret")
        elif how.isdecimal():
            await session.close(int(how), "as asked")
        elif how == "wait":
            try:
                await session.receive()
            except ConnectionClosed as closed:
                remote = closed.info.remote
                seen.append(f"{type(closed).__name__} {remote[0] if remote else None}")

    async with serving(app) as url:
        yield url
