"""websockets, its asyncio server."""

from __future__ import annotations

from shared import LARGEST, PORT, run
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


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
    else:
        async for message in connection:
            await connection.send(message)


async def main() -> object:
    return await serve(handle, "127.0.0.1", PORT, ping_interval=None, max_size=LARGEST)


run(main)
