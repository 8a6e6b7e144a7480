"""The client of aiohttp."""

from __future__ import annotations

import aiohttp
from clients import MESSAGE, URL, Count, measure


async def talk(count: Count) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(URL) as session:
        await session.send_str(MESSAGE)
        async for message in session:
            count.replies += 1
            await session.send_str(message.data)


measure(talk)
