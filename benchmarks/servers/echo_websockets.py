"""websockets, its asyncio server."""

from __future__ import annotations

from itertools import cycle

from orders import DECODER, ENCODER
from shared import LARGEST, PORT, TLS, names, run
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

members: set[ServerConnection] = set()
rooms: dict[str, set[ServerConnection]] = {}


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    path = connection.request.path
    if path == "/room":
        members.add(connection)
        await connection.wait_closed()
        members.discard(connection)
    elif path == "/publish":
        async for message in connection:
            broadcast(members, message)
    elif path == "/typed":
        async for message in connection:
            await connection.send(ENCODER.encode(DECODER.decode(message)), text=True)
    elif path.startswith("/rooms/"):
        mine = names(path)
        for name in mine:
            rooms.setdefault(name, set()).add(connection)
        for name in cycle(mine):
            try:
                broadcast(rooms[name], await connection.recv())
            except ConnectionClosed:
                break
        for name in mine:
            del rooms[name]
    else:
        async for message in connection:
            await connection.send(message)


async def main() -> object:
    return await serve(handle, "127.0.0.1", PORT, ping_interval=None, max_size=LARGEST, ssl=TLS)


run(main)
