"""wsext's client; ``listener``: with a `Listener` instead of a coroutine that receives."""

from __future__ import annotations

from clients import MESSAGE, URL, Count, measure
from shared import VARIANT

import wsext

OPTIONS = wsext.WebSocketOptions(ping_interval=None)


async def talk(count: Count) -> None:
    async with wsext.connect(URL, options=OPTIONS, proxy=None) as session:
        await session.send(MESSAGE)
        async for message in session:
            count.replies += 1
            await session.send(message)


async def listen(count: Count) -> None:
    class Echo(wsext.Listener):
        def on_open(self, session: wsext.Session) -> None:
            session.send_nowait(MESSAGE)

        def on_message(self, session: wsext.Session, message: str | bytes) -> None:
            count.replies += 1
            session.send_nowait(message)

    async with wsext.connect(URL, options=OPTIONS, proxy=None, listener=Echo) as session:
        await session.wait_closed()


measure(listen if VARIANT == "listener" else talk)
