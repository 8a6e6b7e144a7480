"""Who is in a room, and who comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

import msgspec

__all__ = ["Attendance", "Presence", "PresenceChange", "Watch"]

#: Changes that may wait for whoever follows them.
_MOST_WAITING = 1000


class Presence(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who is in a room, in this process or another.

    Attributes:
        id: Unique over all processes.
        name: The session's name when it joined.
        info: What it gave to `Room.join`.
    """

    id: str
    name: str
    info: dict[str, Any] | None = None


class PresenceChange(msgspec.Struct, frozen=True):
    """Somebody has come or gone.

    Attributes:
        kind: ``"join"`` or ``"leave"``.
        member: Who.
    """

    kind: Literal["join", "leave"]
    member: Presence


class Attendance(Protocol):
    """Where somebody is present: a room."""

    def here(self) -> list[Presence]:
        """Who is there, in this process."""

    async def presence(self) -> list[Presence]:
        """Who is there, over all processes."""

    def compare_presence(self, *, first: bool = False) -> None:
        """Have `Watch.compare` run in the background."""


class Watch:
    """Tells everybody who follows a room of each change once.

    Changes come as notes, from here and from other processes. Notes can get lost while a broker is
    away, so the state is compared now and then (`compare`), and the difference told.
    """

    def __init__(self) -> None:
        self._feeds: dict[str, list[_Feed]] = {}
        self._known: dict[str, Presence] = {}
        self._quiet: set[str] = set()  # found by the first comparison: a note may still be due
        self._version = 0
        self._comparing = self._is_first = False

    @property
    def is_followed(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._feeds)

    def follow(self, room: Attendance, me: Presence) -> AsyncIterator[PresenceChange]:
        """The changes from now on, until `end`."""
        first = not self._feeds
        feed = _Feed()
        self._feeds.setdefault(me.id, []).append(feed)
        if first:
            self._known = {member.id: member for member in room.here()}
            room.compare_presence(first=True)
        return feed

    def end(self, me: Presence) -> None:
        """No more changes for this member."""
        for feed in self._feeds.pop(me.id, ()):
            feed.put(None)

    def tell(self, kind: Literal["join", "leave"], member: Presence) -> None:
        """A note has come."""
        if not self._feeds:
            return
        self._version += 1
        known, quiet = member.id in self._known, member.id in self._quiet
        self._quiet.discard(member.id)
        if kind == "leave":
            if self._known.pop(member.id, None) is not None:
                self._emit(PresenceChange(kind, member))
        elif not known or quiet:
            self._known[member.id] = member
            self._emit(PresenceChange(kind, member))

    def _emit(self, change: PresenceChange) -> None:
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.put(change)

    async def compare(self, room: Attendance, *, first: bool = False) -> None:
        """Compare with the state; the first time, who is there is no news.

        One comparison runs at a time. Whoever asks meanwhile has it begin anew.
        """
        self._version += 1
        self._is_first = self._is_first or first
        if self._comparing:
            return
        self._comparing = True
        try:
            now = await self._state(room)
        finally:
            self._comparing = False
        first, self._is_first = self._is_first, False
        if now is None:
            return
        came = [now[key] for key in now.keys() - self._known.keys()]
        gone = [self._known[key] for key in self._known.keys() - now.keys()]
        self._known = now
        self._quiet = {member.id for member in came} if first else set()
        if not first:
            for member in came:
                self._emit(PresenceChange("join", member))
        for member in gone:
            self._emit(PresenceChange("leave", member))

    async def _state(self, room: Attendance) -> dict[str, Presence] | None:
        """Who is there, without a change meanwhile; ``None`` if nobody wants to know any more."""
        while self._feeds:
            version = self._version
            now = {member.id: member for member in await room.presence()}
            if version == self._version:
                return now
        return None


class _Feed(AsyncIterator[PresenceChange]):
    """The changes for one who follows."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[PresenceChange | None] = asyncio.Queue()

    def put(self, change: PresenceChange | None) -> None:
        if self._queue.qsize() >= _MOST_WAITING:
            self._queue.get_nowait()
        self._queue.put_nowait(change)

    async def __anext__(self) -> PresenceChange:
        change = await self._queue.get()
        if change is None:
            self._queue.put_nowait(None)  # whoever asks again ends, too
            raise StopAsyncIteration
        return change
