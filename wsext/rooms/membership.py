"""A session's membership in a room: its queue, its position, and what it has missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from wsext.errors import CloseInfo, ProtocolError, RoomError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.audience import Audience
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.catching_up import CatchingUp
from wsext.rooms.counters import Counters
from wsext.rooms.heard import Heard, Missed
from wsext.rooms.notes import encode
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Attendance, Presence, PresenceChange, PresenceFeed, Watch
from wsext.rooms.settings import RoomOptions
from wsext.runtime.life import life_of
from wsext.runtime.outbox import Lane
from wsext.runtime.session import Session

__all__ = ["Joining", "Membership", "Place"]

logger = get_logger("wsext.rooms")


class Place(Attendance, Protocol):
    """What a membership is in: a room."""

    name: str
    counters: Counters
    position: Position | None
    watch: Watch

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Session]: ...

    def add(self, member: Membership, history: int, catching_up: CatchingUp | None = None) -> None:
        """A membership begins."""

    def release(self, member: Membership) -> None:
        """It has caught up."""

    def remove(self, member: Membership) -> None:
        """It ends."""

    def free(self) -> None:
        """Nobody may be there any more."""

    async def opened(self) -> None:
        """Wait until the place hears other processes and has its history."""


class Membership(Audience):
    """A session's membership in a room, and through it the others; see `Room.join`.

    Iterating gives the sessions of this process that are in the room, and ``len`` counts them.

    Attributes:
        room: The room.
        session: Whose membership it is.
        me: As the others see it.
        format: How it gets a `PreparedValue`: the session's `Session.format` when it joined.
        missed: Which messages never reach it, if some do not: those of which it was told last.
    """

    def __init__(
        self,
        hub: RoomHub,
        room: Place,
        session: Session,
        options: RoomOptions,
        info: Mapping[str, Any] | None,
        on_missed: Callable[[Missed], object] | None = None,
    ) -> None:
        super().__init__(hub, room.name)
        self.room = room
        self.session = session
        self.format = session.format
        self.me = Presence(
            hub.member_id(session), session.name, None if info is None else dict(info)
        )
        try:
            size = len(encode(self.me))
        except (UnicodeEncodeError, RecursionError):  # it may be a peer's JSON
            raise RoomError("what is told about a member cannot be encoded") from None
        if size > options.max_info_bytes:
            raise RoomError("too much is told about a member")
        counting = partial(_count, (room.counters, hub.counters))
        self._lane = Lane(options.overflow, options.queue_bytes, counting)
        self._most = options.session_queue_bytes
        self._replays = Lane("close", max(options.replay_bytes, 128 * options.replay_messages))
        self._on_missed = on_missed
        self.missed: Missed | None = None
        self._catching_up: CatchingUp | None = None
        self._position: Position | None = None
        self._joined = False

    def __len__(self) -> int:
        return len(self.room)

    def __iter__(self) -> Iterator[Session]:
        return iter(self.room)

    def __repr__(self) -> str:
        return f"<Membership {self.session.id} in {self.room!r}>"

    @property
    def waiting_bytes(self) -> int:
        """Bytes of broadcasts that wait for this member to read."""
        return self._lane.size + self._replays.size

    @property
    def position(self) -> Position | None:
        """With `RoomOptions.recovery`, the position of the last message of the room that this
        member was sent, or that it was left out of. ``None`` as long as the broker was never
        there."""
        if self._catching_up is not None:
            return self._catching_up.position
        return self.room.position if self._joined else self._position

    @property
    def recovered(self) -> bool:
        """Whether nothing is missing, since the position with which it joined or since it
        joined."""
        return self.missed is None

    def send(self, message: PreparedMessage) -> None:
        """Send to this member alone, by its policy."""
        if not self.session._try_prepared(message):
            self.queue(message)

    def give(self, heard: Heard, lane: Lane | None = None) -> None:
        """Send what was heard before, by its policy or that of another lane."""
        try:
            message = heard.form(self.format)
            if not self.session._try_prepared(message):
                self.queue(message, heard.key, lane)
        except ProtocolError as error:  # the session has failed, and leaves by that
            logger.debug("room %r: %s", self.room.name, error)

    def queue(
        self, message: PreparedMessage, key: Key | None = None, lane: Lane | None = None
    ) -> None:
        """Put a message that cannot be sent now into the session's outbox."""
        life_of(self.session).writer.put(lane or self._lane, message, self._most, key)

    async def catch_up(self) -> None:
        """Find what was said since the position with which it joined; it is sent in the event
        loop's next turn. Called by `Room.join`."""
        catching_up = self._catching_up
        if catching_up is None:
            return
        found = await catching_up.find(lambda: self.room.position)
        if catching_up.missed is not None:
            self._tell(catching_up.missed)
        else:
            for counters in (self.room.counters, self._hub.counters):
                counters.recovered += 1
        asyncio.get_running_loop().call_soon(self._go_live, catching_up, found)

    def _go_live(self, catching_up: CatchingUp, found: list[Heard]) -> None:
        if self._catching_up is not catching_up:
            return  # it has left
        self._catching_up = None
        self.room.release(self)
        for heard in catching_up.after(found):
            if self.me.id not in heard.left_out:
                self.give(heard, self._replays)

    def miss(self, missed: Missed) -> None:
        """Some messages never reach it; called by its room."""
        if self._catching_up is not None:
            self._catching_up.miss(missed)
            return
        self._tell(missed)
        if self._on_missed is None:
            life_of(self.session).close(CloseCode.SERVICE_RESTART, "messages are missing")

    def _tell(self, missed: Missed) -> None:
        self.missed = missed
        for counters in (self.room.counters, self._hub.counters):
            counters.missed[missed.reason] += 1
        if self._on_missed is not None:
            try:
                self._on_missed(missed)
            except Exception as error:
                logger.error("room %r: on_missed failed", self.room.name, exc_info=error)

    def follow_presence(self) -> PresenceFeed:
        """Who is in the room and who comes and goes from then on, in any process:
        ``async with members.follow_presence() as who``, then ``who.present`` and
        ``async for change in who``. Nobody is missed between the two, and nobody told of twice.

        While the broker is away, those of this process are there; the others come when it is back.
        """
        return PresenceFeed(self.room.watch, self.room, self.me)

    def changes(self) -> AsyncIterator[PresenceChange]:
        """Who comes and goes from now on, in any process, until this membership ends. To know who
        is there as well, use `follow_presence`: whoever asks `presence` first and then follows
        misses those who come between the two.

        Whoever does not keep up misses the oldest changes; `presence` always tells the state.
        """
        return self.room.watch.follow(self.room, self.me)

    def enter(self, history: int = 0, since: Position | None = None) -> None:
        """Begin; called by `Room.join`."""
        if since is None:
            self.room.add(self, history)
        else:
            self._catching_up = CatchingUp(self._hub, self.room.name, since, history)
            self.room.add(self, 0, self._catching_up)
        self._joined = True
        life = life_of(self.session)
        life.add_callback(self._session_ended)
        if self._lane.policy != "close":
            life.link.keep_fresh()

    def leave(self) -> None:
        """End the membership; what waits for the session is still sent."""
        self._hub.check_thread("membership.leave")
        if self._joined:
            self._position = self.position
            self._catching_up = None
            self._joined = False
            life_of(self.session).remove_callback(self._session_ended)
            self.room.remove(self)

    def _session_ended(self, info: CloseInfo) -> None:
        self.leave()


def _count(counters: Iterable[Counters], how: str) -> None:
    for totals in counters:
        totals.add(how)


class Joining:
    """What ``async with room.join(session)`` waits for."""

    def __init__(self, members: Membership, history: int, since: Position | None) -> None:
        self.members = members
        self._history = history
        self._since = since

    async def __aenter__(self) -> Membership:
        members = self.members
        room = members.room
        try:
            await room.opened()
            members.enter(self._history, self._since)
            await members._hub.enter(room.name, members.me)
            await members.catch_up()
            if self._history and self._since is None:  # others have their turn
                await asyncio.sleep(0)
        except BaseException:
            members.leave()
            room.free()
            raise
        return members

    async def __aexit__(self, *exc_info: object) -> None:
        self.members.leave()
