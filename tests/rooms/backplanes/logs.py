"""Brokers of the tests' own connection: what a room's log holds, without rooms."""

from __future__ import annotations

__all__ = ["Log", "asked_until", "connected", "record"]

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests import brokers
from wsext import Broker
from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.nats import nats_broker
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.backplanes.redis import redis_broker


def record(text: str, id: str = "", room: str = "tea", *, fresh: bool = False) -> Record:
    """A message; its id is its text by default."""
    return Record(room, 0, id or text, text.encode(), fresh)


class Log:
    """A connection to a broker, and what it has delivered.

    Attributes:
        broker: The connection.
        heard: Position and text of everything that was delivered.
    """

    def __init__(self, url: str) -> None:
        make = redis_broker if url.startswith("redis") else nats_broker
        self.broker: Broker = make(url)
        self.heard: list[tuple[Position, str]] = []
        self.lost: list[Exception] = []

    async def connect(self) -> None:
        await self.broker.connect(self._deliver, self.lost.append)

    def _deliver(self, room: str, position: Any, data: bytes) -> None:
        self.heard.append((position, data.decode()))

    async def add(self, *records: Record | str) -> list[tuple[int, bool]]:
        """Add messages: their numbers, and whether they were there already."""
        made = [record(one) if isinstance(one, str) else one for one in records]
        placed = await self.broker.add(made)
        return [(found[0].number, found[1]) for found in placed if found is not None]

    async def texts(self, after: int = 0) -> list[tuple[int, str]]:
        """What the log of ``tea`` holds."""
        head = await self.broker.head("tea")
        found = await self.broker.read("tea", after, head.number, 1 << 20)
        return [(number, data.decode()) for number, data in found]


async def asked_until(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask a broker again and again, until it says yes."""
    async with asyncio.timeout(20):
        while True:
            if await question():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def connected(broker: brokers.Broker, parameters: str = "") -> AsyncIterator[Log]:
    log = Log(broker.url + parameters)
    await log.connect()
    try:
        yield log
    finally:
        await log.broker.disconnect()
