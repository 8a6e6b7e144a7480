"""wsext's client."""

from __future__ import annotations

from clients import MESSAGE, URL, Count, measure

import wsext


async def talk(count: Count) -> None:
    options = wsext.WebSocketOptions(ping_interval=None)
    async with wsext.connect(URL, options=options, proxy=None) as session:
        await session.send(MESSAGE)
        async for message in session:
            count.replies += 1
            await session.send(message)


measure(talk)
