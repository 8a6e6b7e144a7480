"""wsext for the curves of ``growth.py``: an echo, and a room or as many as GROWTH_ROOMS says.

Up to eight no-op codecs are agreed when the load offers them.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from itertools import cycle

from no_op import no_op
from shared import LARGEST, PORT

from wsext import App, RoomOptions, ServerOptions, Session
from wsext import WebSocketOptions as Options

ROOMS = [f"room {number}" for number in range(int(os.environ.get("GROWTH_ROOMS", "1")))]

app = App(
    options=Options(max_message_size=LARGEST, ping_interval=None),
    server=ServerOptions(max_connections=None),
    rooms=RoomOptions(max_rooms_per_session=len(ROOMS)),
)
joined = asyncio.Event()

for number in range(8):
    app.install(no_op(number))


@app.websocket("/")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


@app.websocket("/room")
async def member(session: Session) -> None:
    async with AsyncExitStack() as stack:
        for room in ROOMS:
            await stack.enter_async_context(app.room(room).join(session))
        joined.set()
        async for _ in session:
            pass


@app.websocket("/publish")
async def publish(session: Session) -> None:
    await joined.wait()
    rooms = cycle(ROOMS)
    async for message in session:
        await app.room(next(rooms)).broadcast(message)


app.run("127.0.0.1", PORT)
