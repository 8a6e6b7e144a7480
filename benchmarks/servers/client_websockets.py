"""The client of websockets; ``picows``: that of picows in the same style."""

from __future__ import annotations

from typing import Any

from clients import MESSAGE, URL, Count, measure
from shared import VARIANT

connect: Any
if VARIANT == "picows":
    from picows.websockets.asyncio.client import connect
else:
    from websockets.asyncio.client import connect


async def talk(count: Count) -> None:
    async with connect(URL, compression=None, ping_interval=None, proxy=None) as connection:
        await connection.send(MESSAGE)
        async for message in connection:
            count.replies += 1
            await connection.send(message)


measure(talk)
