"""Programs for `websockets`, as its users write them."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.router import route
from websockets.asyncio.server import Server, basic_auth, broadcast, serve
from websockets.exceptions import ConnectionClosed
from werkzeug.routing import Map, Rule


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@asynccontextmanager
async def hello() -> AsyncIterator[str]:
    async def handler(websocket: Any) -> None:
        name = await websocket.recv()
        await websocket.send(f"Hello, {name}!")

    async with serve(handler, "127.0.0.1", 0) as server:
        yield url_of(server)


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    async def handler(websocket: Any) -> None:
        async for message in websocket:
            await websocket.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        yield url_of(server)


@asynccontextmanager
async def counter() -> AsyncIterator[str]:
    users: set[Any] = set()
    value = 0

    async def handler(websocket: Any) -> None:
        nonlocal value
        users.add(websocket)
        try:
            broadcast(users, json.dumps({"users": len(users)}))
            await websocket.send(json.dumps({"value": value}))
            async for message in websocket:
                value += json.loads(message)["add"]
                broadcast(users, json.dumps({"value": value}))
        finally:
            users.remove(websocket)
            broadcast(users, json.dumps({"users": len(users)}))

    async with serve(handler, "127.0.0.1", 0) as server:
        yield url_of(server)


@asynccontextmanager
async def clock() -> AsyncIterator[str]:
    watching: set[Any] = set()

    async def register(websocket: Any) -> None:
        watching.add(websocket)
        try:
            await websocket.wait_closed()
        finally:
            watching.remove(websocket)

    async def tick() -> None:
        number = 0
        while True:
            await asyncio.sleep(0.001)
            if watching:
                broadcast(watching, f"tick {number}")
                number += 1

    async with serve(register, "127.0.0.1", 0) as server:
        ticking = asyncio.create_task(tick())
        try:
            yield url_of(server)
        finally:
            ticking.cancel()


@asynccontextmanager
async def both_ways() -> AsyncIterator[str]:
    """Reads and writes at the same time; ends when one of the two does."""

    async def consume(websocket: Any, numbers: asyncio.Queue[int]) -> None:
        async for message in websocket:
            numbers.put_nowait(int(message))

    async def produce(websocket: Any, numbers: asyncio.Queue[int]) -> None:
        while (number := await numbers.get()) >= 0:
            await websocket.send(str(number**2))

    async def handler(websocket: Any) -> None:
        numbers: asyncio.Queue[int] = asyncio.Queue()
        tasks = [
            asyncio.create_task(consume(websocket, numbers)),
            asyncio.create_task(produce(websocket, numbers)),
        ]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async with serve(handler, "127.0.0.1", 0) as server:
        yield url_of(server)


@asynccontextmanager
async def password() -> AsyncIterator[str]:
    async def handler(websocket: Any) -> None:
        await websocket.send(f"Hello, {websocket.username}!")

    auth = basic_auth(realm="staff", credentials=[("ada", "sesame"), ("bob", "honey")])
    async with serve(handler, "127.0.0.1", 0, process_request=auth) as server:
        yield url_of(server)


TOKENS = {"token-of-ada": "Ada"}


@asynccontextmanager
async def token_in_query() -> AsyncIterator[str]:
    def check(connection: Any, request: Any) -> Any:
        query = parse_qs(urlsplit(request.path).query)
        user = TOKENS.get(query.get("token", [""])[0])
        if user is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong token\n")
        connection.username = user
        return None

    async def handler(websocket: Any) -> None:
        await websocket.send(f"Hello, {websocket.username}!")

    async with serve(handler, "127.0.0.1", 0, process_request=check) as server:
        yield url_of(server)


@asynccontextmanager
async def token_first() -> AsyncIterator[str]:
    async def handler(websocket: Any) -> None:
        try:
            async with asyncio.timeout(5):
                user = TOKENS.get(await websocket.recv())
        except TimeoutError:
            user = None
        if user is None:
            await websocket.close(1008, "wrong token")
            return
        await websocket.send(f"Hello, {user}!")

    async with serve(handler, "127.0.0.1", 0) as server:
        yield url_of(server)


@asynccontextmanager
async def health() -> AsyncIterator[str]:
    def check(connection: Any, request: Any) -> Any:
        return (
            connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
        )

    async def handler(websocket: Any) -> None:
        await websocket.send("no page")

    async with serve(handler, "127.0.0.1", 0, process_request=check) as server:
        yield url_of(server)


@asynccontextmanager
async def routes() -> AsyncIterator[str]:
    async def room(websocket: Any, name: str, number: int) -> None:
        await websocket.send(f"{name} {number + 1} {websocket.subprotocol}")

    rules = Map([Rule("/rooms/<name>/<int:number>", endpoint=room)])
    spoken: Any = ["chat.v2", "chat.v1"]
    async with route(rules, "127.0.0.1", 0, subprotocols=spoken) as server:
        yield url_of(server)


@asynccontextmanager
async def ends() -> AsyncIterator[str]:
    """Ends in the way that the path says; tells what it has seen of the last one."""
    seen: list[str] = []

    async def handler(websocket: Any) -> None:
        how = websocket.request.path.removeprefix("/")
        if how == "seen":
            await websocket.send(" ".join(seen))
        elif how == "raise":
            raise ValueError("a secret")
        elif how.isdecimal():
            await websocket.close(int(how), "as asked")
        elif how == "wait":
            try:
                await websocket.recv()
            except ConnectionClosed as closed:
                seen.append(f"{type(closed).__name__} {closed.rcvd.code if closed.rcvd else None}")

    async with serve(handler, "127.0.0.1", 0, max_size=1000) as server:
        yield url_of(server)
