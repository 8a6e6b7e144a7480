"""Who is in a room, and who comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal, Protocol, Self

import msgspec

__all__ = ["Attendance", "Presence", "PresenceChange", "PresenceFeed", "Watch"]

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
    away, so the state is compared now and then (`compare`), and the difference told. A note always
    comes after the state has changed. So a state that was read is right together with the notes
    that came while it was read.
    """

    def __init__(self) -> None:
        self._feeds: dict[str, list[_Feed | PresenceFeed]] = {}
        self._known: dict[str, Presence] = {}
        self._is_known = False
        self._quiet: set[str] = set()  # found by the first comparison: a note may still be due
        self._meanwhile: list[PresenceChange] = []
        self._comparing = self._again = self._is_first = False

    @property
    def is_followed(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._feeds)

    def follow(self, room: Attendance, me: Presence) -> AsyncIterator[PresenceChange]:
        """The changes from now on, until `end`."""
        feed = _Feed()
        self._add(room, me, feed)
        return feed

    def attend(self, room: Attendance, me: Presence, feed: PresenceFeed) -> None:
        """Tell a feed who is there, as soon as that is known, and the changes from then on."""
        self._add(room, me, feed)
        if self._is_known:
            feed.begin(self._known.values())

    def _add(self, room: Attendance, me: Presence, feed: _Feed | PresenceFeed) -> None:
        first = not self._feeds
        self._feeds.setdefault(me.id, []).append(feed)
        if first:
            self._known = {member.id: member for member in room.here()}
            self._is_known = False
            room.compare_presence(first=True)

    def leave(self, me: Presence, feed: PresenceFeed) -> None:
        """One feed of a member ends."""
        feeds = self._feeds.get(me.id, [])
        if feed in feeds:
            feeds.remove(feed)
            feed.put(None)
        if not feeds:
            self._feeds.pop(me.id, None)

    def end(self, me: Presence) -> None:
        """No more changes for this member."""
        for feed in self._feeds.pop(me.id, ()):
            feed.put(None)

    def tell(self, kind: Literal["join", "leave"], member: Presence) -> None:
        """A note has come."""
        if not self._feeds:
            return
        change = PresenceChange(kind, member)
        if self._comparing:
            self._meanwhile.append(change)
        known, quiet = member.id in self._known, member.id in self._quiet
        self._quiet.discard(member.id)
        if kind == "leave":
            if self._known.pop(member.id, None) is not None:
                self._emit(change)
        elif not known or quiet:
            self._known[member.id] = member
            self._emit(change, is_late=quiet)

    def _emit(self, change: PresenceChange, *, is_late: bool = False) -> None:
        for feeds in self._feeds.values():
            for feed in feeds:
                if not (is_late and isinstance(feed, PresenceFeed)):  # it was told of this one
                    feed.put(change)

    async def compare(self, room: Attendance, *, first: bool = False) -> None:
        """Compare with the state; the first time, who is there is no news.

        One comparison runs at a time. Whoever asks meanwhile has it begin anew.
        """
        self._again = True
        self._is_first = self._is_first or first
        if self._comparing:
            return
        self._comparing = True
        now: dict[str, Presence] = {}
        try:
            while self._again and self._feeds:
                self._again = False
                self._meanwhile.clear()
                now = {member.id: member for member in await room.presence()}
        finally:
            self._comparing = False
        first, self._is_first = self._is_first, False
        if self._feeds:
            self._replace(now, first=first)

    def _replace(self, now: dict[str, Presence], *, first: bool) -> None:
        for change in self._meanwhile:
            if change.kind == "join":
                now.setdefault(change.member.id, change.member)
            else:
                now.pop(change.member.id, None)
        came = [now[key] for key in now.keys() - self._known.keys()]
        gone = [self._known[key] for key in self._known.keys() - now.keys()]
        self._known = now
        self._quiet = {member.id for member in came} if first else set()
        if not first:
            for member in came:
                self._emit(PresenceChange("join", member))
        for member in gone:
            self._emit(PresenceChange("leave", member))
        self._is_known = True
        for feeds in self._feeds.values():
            for feed in feeds:
                if isinstance(feed, PresenceFeed):
                    feed.begin(now.values())


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


class PresenceFeed(AsyncIterator[PresenceChange]):
    """Who is in a room, and who comes and goes from then on; see `Membership.follow_presence`.

    Iterating gives the changes, until the block or the membership ends. Nothing is missing between
    `present` and the changes. Of whoever came and left before it was asked for, nothing is told.

    Attributes:
        present: Who was in the room when the block began, over all processes.
    """

    def __init__(self, watch: Watch, room: Attendance, me: Presence) -> None:
        self._watch = watch
        self._room = room
        self._me = me
        self.present: list[Presence] = []
        self._begun = asyncio.Event()
        self._changes: dict[str, tuple[PresenceChange, bool]] = {}
        self._work = asyncio.Event()
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._watch.attend(self._room, self._me, self)
        try:
            await self._begun.wait()
        except BaseException:
            self._watch.leave(self._me, self)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._watch.leave(self._me, self)

    def begin(self, present: Iterable[Presence]) -> None:
        """It is known who is there; called once by what is watched."""
        if not self._begun.is_set():
            self.present = list(present)
            self._begun.set()

    def put(self, change: PresenceChange | None) -> None:
        """Somebody came or went, or nothing more will be told."""
        if change is None:
            self._is_over = True
            self._begun.set()
        elif self._begun.is_set():
            # Whether whoever iterates knows of the member: then its going has to be told.
            _, is_known = self._changes.pop(change.member.id, (None, change.kind == "leave"))
            if is_known or change.kind == "join":
                self._changes[change.member.id] = (change, is_known)
        self._work.set()

    async def __anext__(self) -> PresenceChange:
        while not self._changes and not self._is_over:
            self._work.clear()
            await self._work.wait()
        if self._is_over:
            raise StopAsyncIteration
        return self._changes.pop(next(iter(self._changes)))[0]
