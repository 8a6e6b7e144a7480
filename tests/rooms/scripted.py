"""A broker in memory that answers when a test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from wsext import Broker, Record
from wsext.rooms.backplanes.broker import Deliver, Lost

__all__ = ["ScriptedBroker"]


class ScriptedBroker(Broker):
    """Stores what it is given.

    Attributes:
        stored: What it has.
        given: What `append` was called with, each message on its own.
        is_there: Whether one can connect.
        answers: Set while it answers.
        stores: Whether it stores what it does not answer.
    """

    def __init__(self) -> None:
        self.stored: list[Record] = []
        self.given: list[Record] = []
        self.is_there = True
        self.answers = asyncio.Event()
        self.answers.set()
        self.stores = True
        self._lost: Lost | None = None

    def break_off(self) -> None:
        """Lose the connection, and refuse the next one while ``is_there`` is false."""
        assert self._lost is not None
        self._lost(ConnectionError("broken off"))

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        if not self.is_there:
            raise ConnectionError("nobody there")
        self._lost = lost

    async def disconnect(self) -> None:
        """Nothing to free."""

    async def append(self, records: Sequence[Record]) -> None:
        self.given += records
        if self.stores:
            self.stored += records
        await self.answers.wait()

    async def note(self, room: str, data: bytes) -> None:
        """Nobody listens."""

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        mine = [record.data for record in self.stored if record.room == room]
        return list(enumerate(mine))[-count:]

    async def follow(self, room: str, after: Any) -> None:
        """Nobody listens."""

    async def unfollow(self, room: str) -> None:
        """Nobody listened."""

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        """Nobody looks."""

    async def members(self, room: str) -> dict[str, bytes]:
        return {}

    async def beat(self, origin: str, seconds: float) -> None:
        """Nobody looks."""
