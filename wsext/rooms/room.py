"""Rooms: who is in one hears what is said in it, and has a queue of its own if it reads slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from wsext.errors import CloseInfo, ProtocolError, RoomError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.audience import Audience
from wsext.rooms.counters import Counters
from wsext.rooms.notes import encode
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence, PresenceChange, Watch
from wsext.rooms.settings import RoomOptions, RoomOverflow
from wsext.runtime.life import life_of
from wsext.runtime.outbox import Lane
from wsext.runtime.session import Session

__all__ = ["Membership", "Room"]

logger = get_logger("wsext.rooms")

#: How a message gets to a member: at once, or by the member's lane of its session's outbox.
_Way: TypeAlias = "tuple[Session, Membership]"


class Room(Audience):
    """One room of an app, over all processes on its backplane; see `App.room`.

    Iterating gives the sessions of this process that are in it, and ``len`` counts them.

    Attributes:
        name: Its name.
        counters: Totals of this process; they begin anew after the room was empty and forgotten.
    """

    def __init__(self, hub: RoomHub, name: str) -> None:
        super().__init__(hub, name)
        self.name = name
        self.counters = Counters()
        self._members: dict[str, Membership] = {}
        self._everybody: list[_Way] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._joining = 0
        self.watch = Watch()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Session]:
        return iter([member.session for member in self._members.values()])

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {len(self)} members here>"

    # --- joining ------------------------------------------------------------------------------

    def join(
        self,
        session: Session,
        *,
        history: int = 0,
        info: Mapping[str, Any] | None = None,
        overflow: RoomOverflow | None = None,
        queue_bytes: int | None = None,
    ) -> _Joining:
        """Be in the room while a block runs: ``async with room.join(session) as members``.

        The membership also ends with the session.

        Args:
            session: Who joins; a session is in a room at most once.
            history: How many of the room's last messages to send to it first.
            info: For the others to see, as JSON can say it.
            overflow: What happens when it reads too slowly, instead of `RoomOptions.overflow`.
            queue_bytes: Bytes that may wait for it, instead of `RoomOptions.queue_bytes`.

        Raises:
            OptionError: If an option is wrong.
            RoomError: If the session is in this room or in too many, if more history is asked for
                than rooms keep, ``info`` is too large, or too much waits for the broker.
        """
        if self._hub.is_swamped:
            raise RoomError("too much waits for the broker", CloseCode.TRY_AGAIN_LATER)
        options = self._hub.options
        if not 0 <= history <= options.history:
            problem = f"{history} messages of history were asked for, {options.history} are kept"
            raise RoomError("too much history", problem=problem)
        given = {"overflow": overflow, "queue_bytes": queue_bytes}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:  # checking options takes longer than all the rest
            options = options.replace(changes)
        return _Joining(Membership(self, session, options, info), history)

    def join_nowait(
        self,
        session: Session,
        *,
        info: Mapping[str, Any] | None = None,
        overflow: RoomOverflow | None = None,
        queue_bytes: int | None = None,
    ) -> Membership:
        """Join without waiting, for listeners: until `Membership.leave` or the session's end.

        What other processes say is heard as soon as the backplane is told; use `join` where that
        matters.

        Raises:
            OptionError, RoomError: As `join`.
        """
        members = self.join(session, info=info, overflow=overflow, queue_bytes=queue_bytes).members
        members.enter()
        self._open()
        self._hub.spawn(self._hub.enter(self.name, members.me))
        return members

    @property
    def is_open(self) -> bool:
        """Whether anybody here is in it or about to join."""
        return self._opening is not None

    def _open(self) -> asyncio.Task[None]:
        if self._opening is None:
            self._opening = self._hub.spawn(self._load())
        return self._opening

    async def opened(self) -> None:
        """Wait until the room hears other processes and has its history."""
        self._joining += 1
        try:
            await asyncio.shield(self._open())
        finally:
            self._joining -= 1

    async def _load(self) -> None:
        before, kept = await self._hub.open(self.name), self._hub.kept
        meanwhile = kept.last(self.name, self._hub.options.history)
        kept.drop(self.name)
        for message in (*before, *meanwhile):
            kept.put(self.name, message, message.size, self._hub.bounds)

    def add(self, member: Membership, history: int) -> None:
        """Called by a membership that begins."""
        if member.me.id in self._members:
            problem = f"{member.session!r} is in room {self.name!r} already"
            raise RoomError("in this room already", problem=problem)
        self._hub.admit(member.session)
        for message in self._hub.kept.last(self.name, history):
            try:
                member.send(message)
            except ProtocolError as error:  # the session has failed, and leaves by that
                logger.debug("room %r: %s", self.name, error)
        if history:  # messages keep how they were encoded for it
            self._hub.kept.recount(self.name, self._hub.bounds)
        self._members[member.me.id] = member
        self._everybody = None
        self._hub.keep(self.name)
        self.watch.tell("join", member.me)

    def remove(self, member: Membership) -> None:
        """Called by a membership that ends."""
        if self._members.pop(member.me.id, None) is None:
            return  # the hub has ended before
        self._everybody = None
        self._hub.dismiss(member.session)
        self.watch.end(member.me)
        self.watch.tell("leave", member.me)
        self._hub.leave(self.name, member.me)
        self.release()

    def release(self) -> None:
        """Forget everything if nobody is here any more."""
        if self._opening is not None and not self._members and not self._joining:
            self.forget()
            self._hub.shut(self.name)

    def forget(self) -> None:
        """Be as new; called by the hub when it ends."""
        if self._opening is not None:
            self._opening.cancel()
        self._opening = None
        self._hub.kept.drop(self.name)
        self._members.clear()
        self._everybody = None

    def members(self) -> list[Membership]:
        """The memberships of this process."""
        return list(self._members.values())

    # --- what is said ---------------------------------------------------------------------------

    def deliver(
        self, message: PreparedMessage, key: Key | None, left_out: frozenset[str] = frozenset()
    ) -> None:
        """Hand a message to the members of this process."""
        everybody = self._everybody
        if left_out:
            everybody = [(m.session, m) for m in self._members.values() if m.me.id not in left_out]
        elif everybody is None:
            everybody = self._everybody = [(m.session, m) for m in self._members.values()]
        for session, member in everybody:  # the fast path: few steps, and none that waits
            try:
                if not session._try_prepared(message):
                    member.queue(message, key)
            except ProtocolError as error:  # that member's session has failed
                logger.debug("room %r: %s", self.name, error)
        for counters in (self.counters, self._hub.counters):
            counters.messages += 1
            counters.bytes += message.size
            counters.delivered += len(everybody)
        if self._opening is not None:
            self._hub.kept.put(self.name, message, message.size, self._hub.bounds)

    # --- who is here --------------------------------------------------------------------------

    def here(self) -> list[Presence]:
        """Who is in the room, in this process."""
        return [member.me for member in self._members.values()]

    def compare_presence(self, *, first: bool = False) -> None:
        """Have changes found that no note told of, if anybody wants to know."""
        if self.watch.is_followed:
            self._hub.spawn(self.watch.compare(self, first=first))


class Membership(Audience):
    """A session's membership in a room, and through it the others; see `Room.join`.

    Iterating gives the sessions of this process that are in the room, and ``len`` counts them.

    Attributes:
        room: The room.
        session: Whose membership it is.
        me: As the others see it.
    """

    def __init__(
        self,
        room: Room,
        session: Session,
        options: RoomOptions,
        info: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(room._hub, room.name)
        self.room = room
        self.session = session
        self.me = Presence(
            room._hub.member_id(session), session.name, None if info is None else dict(info)
        )
        try:
            size = len(encode(self.me))
        except (UnicodeEncodeError, RecursionError):  # it may be a peer's JSON
            raise RoomError("what is told about a member cannot be encoded") from None
        if size > options.max_info_bytes:
            raise RoomError("too much is told about a member")
        counting = partial(_count, (room.counters, room._hub.counters))
        self._lane = Lane(options.overflow, options.queue_bytes, counting)
        self._most = options.session_queue_bytes
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
        return self._lane.size

    def send(self, message: PreparedMessage) -> None:
        """Send to this member alone, by its policy."""
        if not self.session._try_prepared(message):
            self.queue(message)

    def queue(self, message: PreparedMessage, key: Key | None = None) -> None:
        """Put a message that cannot be sent now into the session's outbox."""
        life_of(self.session).writer.put(self._lane, message, self._most, key)

    def changes(self) -> AsyncIterator[PresenceChange]:
        """Who comes and goes from now on, in any process, until this membership ends.

        Whoever does not keep up misses the oldest changes; `presence` always tells the state.
        """
        return self.room.watch.follow(self.room, self.me)

    def enter(self, history: int = 0) -> None:
        """Begin; called by `Room.join`."""
        self.room.add(self, history)
        self._joined = True
        life = life_of(self.session)
        life.add_callback(self._session_ended)
        if self._lane.policy != "close":
            life.link.keep_fresh()

    def leave(self) -> None:
        """End the membership; what waits for the session is still sent."""
        if self._joined:
            self._joined = False
            life_of(self.session).remove_callback(self._session_ended)
            self.room.remove(self)

    def _session_ended(self, info: CloseInfo) -> None:
        self.leave()


def _count(counters: Iterable[Counters], how: str) -> None:
    for totals in counters:
        totals.add(how)


class _Joining:
    """What ``async with room.join(session)`` waits for."""

    def __init__(self, members: Membership, history: int) -> None:
        self.members = members
        self._history = history

    async def __aenter__(self) -> Membership:
        members = self.members
        room = members.room
        try:
            await room.opened()
            members.enter(self._history)
            await room._hub.enter(room.name, members.me)
            if self._history:  # much may have been sent: other sessions have their turn
                await asyncio.sleep(0)
        except BaseException:
            members.leave()
            room.release()
            raise
        return members

    async def __aexit__(self, *exc_info: object) -> None:
        self.members.leave()
