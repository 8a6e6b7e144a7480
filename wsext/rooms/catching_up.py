"""A member that comes back with a position: what it has missed is found while more is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wsext.rooms.backplanes.contract import Incomplete
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.heard import Heard, Missed
from wsext.rooms.ports import RoomHub

__all__ = ["CatchingUp"]

#: More messages than a room keeps.
_ALL = 1 << 30

#: Seconds to wait for what another process has heard already.
_PATIENCE = 5.0


class CatchingUp:
    """Keeps what is said in a room, until it is known what was said before.

    Args:
        hub: Has the messages.
        room: The room's name.
        since: The last position that the member has seen.
        history: How many of the last messages it gets if it has missed some.

    Attributes:
        position: The position after which what is `kept` begins.
        missed: Why something is missing, if it is.
    """

    def __init__(self, hub: RoomHub, room: str, since: Position, history: int) -> None:
        self._hub = hub
        self._room = room
        self._since = since
        self._history = history
        self.position: Position | None = since
        self.missed: Missed | None = None
        self._held: list[Heard] = []
        self._size = 0
        self._came = asyncio.Event()

    def hold(self, heard: Heard) -> None:
        """Something was said meanwhile."""
        self._came.set()
        self._held.append(heard)
        self._size += heard.message.size
        options = self._hub.options
        if self._size > options.replay_bytes or len(self._held) > options.replay_messages:
            self.miss(Missed("too-much", self._since, heard.position))

    def miss(self, missed: Missed) -> None:
        """Something is missing before the position that is named: begin there."""
        self._came.set()
        self.missed, self.position = missed, missed.position
        self._held.clear()
        self._size = 0

    async def find(self, now: Callable[[], Position | None]) -> list[Heard]:
        """Everything that was said since, or the history if `missed` says why not.

        Args:
            now: The position of what was heard here last.
        """
        try:
            found = await self._find(now())
            await self._reach(now)
        except Incomplete as error:
            self.miss(Missed(error.reason, self._since, now()))
        if self.missed is not None:
            self.miss(Missed(self.missed.reason, self._since, now()))
            return self._hub.kept.last(self._room, self._history)
        return found

    def after(self, found: list[Heard]) -> list[Heard]:
        """What was found, and what was said meanwhile."""
        last = found[-1].position if found else self._since
        number = 0 if last is None or self.missed is not None else last.number
        return [*found, *(h for h in self._held if h.position and h.position.number > number)]

    async def _reach(self, now: Callable[[], Position | None]) -> None:
        """The member may have heard more, by another process, than this one has yet."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while (here := now()) and here.number < self._since.number and not self.missed:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise Incomplete("away") from None

    async def _find(self, until: Position | None) -> list[Heard]:
        if self._since == until:
            return []
        options, kept = self._hub.options, self._hub.kept.last(self._room, _ALL)
        first = kept[0].after if kept else None
        if until and first and self._since.epoch == until.epoch:
            wanted = [h for h in kept if h.position and h.position.number > self._since.number]
            size = sum(heard.message.size for heard in wanted)
            if (
                first.number <= self._since.number <= until.number
                and len(wanted) <= options.replay_messages
                and size <= options.replay_bytes
            ):
                return wanted
        return await self._hub.replay(self._room, self._since, until)
