"""Rooms: who is in one hears what is said in it, and has a queue of its own if it reads slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from wsext.errors import CloseInfo, OptionError, ProtocolError, RoomError
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
from wsext.rooms.presence import Presence, PresenceChange, PresenceFeed, Watch
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
        position: With `RoomOptions.recovery`, the position of the last message that was heard here;
            ``None`` while nobody is here, or as long as the broker was never there.
    """

    def __init__(self, hub: RoomHub, name: str) -> None:
        super().__init__(hub, name)
        self.name = name
        self.counters = Counters()
        self._members: dict[str, Membership] = {}
        self._everybody: list[_Way] | None = None
        self._held: dict[Membership, CatchingUp] = {}
        self.position: Position | None = None
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
        since: Position | str | None = None,
        on_missed: Callable[[Missed], object] | None = None,
        info: Mapping[str, Any] | None = None,
        overflow: RoomOverflow | None = None,
        queue_bytes: int | None = None,
    ) -> _Joining:
        """Be in the room while a block runs: ``async with room.join(session) as members``.

        The membership also ends with the session.

        Args:
            session: Who joins; a session is in a room at most once.
            history: How many of the room's last messages to send to it first.
            since: The last position that it has seen, for example `Position.parse` of what a client
                brings back, or that text. It is sent everything that came since, and then what
                comes. If that is not possible any more, `Membership.missed` says why, and it is
                sent the ``history`` instead. What the block does before it first waits comes before
                either. Needs `RoomOptions.recovery`.
            on_missed: Called when messages are missing, at once or later. Without it, a session
                that misses messages later is closed with 1012, so that it comes back and asks.
            info: For the others to see, as JSON can say it.
            overflow: What happens when it reads too slowly, instead of `RoomOptions.overflow`.
            queue_bytes: Bytes that may wait for it, instead of `RoomOptions.queue_bytes`.

        Raises:
            OptionError: If an option is wrong, or positions are asked for without
                `RoomOptions.recovery`.
            RoomError: If the session is in this room or in too many, if more history is asked for
                than rooms keep, ``info`` is too large, ``since`` is no position, or too much waits
                for the broker.
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
        if not options.recovery and (since is not None or on_missed is not None):
            problem = "without it, nobody can catch up since a position"
            raise OptionError("rooms", "recovery", problem)
        if isinstance(since, str):
            since = Position.parse(since)
        return _Joining(Membership(self, session, options, info, on_missed), history, since)

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
        kept = self._hub.kept
        if self._hub.options.recovery:
            position, before = await self._hub.open_log(self.name)
            self.position = self.position or position
        else:
            before = [Heard(message) for message in await self._hub.open(self.name)]
        meanwhile = kept.last(self.name, self._hub.options.history)
        kept.drop(self.name)
        for heard in (*before, *meanwhile):
            kept.put(self.name, heard, heard.message.size, self._hub.bounds)

    def add(self, member: Membership, history: int, catching_up: CatchingUp | None = None) -> None:
        """Called by a membership that begins.

        Args:
            member: The membership.
            history: How many of the last messages it is sent first.
            catching_up: Gets what comes in its stead, until `release`.
        """
        if member.me.id in self._members:
            problem = f"{member.session!r} is in room {self.name!r} already"
            raise RoomError("in this room already", problem=problem)
        self._hub.admit(member.session)
        for heard in self._hub.kept.last(self.name, history):
            self.send(member, heard)
        if history:  # messages keep how they were encoded for it
            self._hub.kept.recount(self.name, self._hub.bounds)
        self._members[member.me.id] = member
        if catching_up is not None:
            self._held[member] = catching_up
        self._everybody = None
        self._hub.keep(self.name)
        self.watch.tell("join", member.me)

    def remove(self, member: Membership) -> None:
        """Called by a membership that ends."""
        if self._members.pop(member.me.id, None) is None:
            return  # the hub has ended before
        self._everybody = None
        self._held.pop(member, None)
        self._hub.dismiss(member.session)
        self.watch.end(member.me)
        self.watch.tell("leave", member.me)
        self._hub.leave(self.name, member.me)
        self.free()

    def free(self) -> None:
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
        self._held.clear()
        self._everybody = None
        self.position = None

    def members(self) -> list[Membership]:
        """The memberships of this process."""
        return list(self._members.values())

    # --- what is said ---------------------------------------------------------------------------

    def deliver(self, heard: Heard) -> None:
        """Hand a message to the members of this process."""
        message, key, left_out, position, _ = heard
        if position is not None:
            self.position = position
            for catching_up in self._held.values():
                catching_up.hold(heard)
        everybody = self._everybody
        if left_out:
            everybody = [way for way in self._ways() if way[1].me.id not in left_out]
        elif everybody is None:
            everybody = self._everybody = self._ways()
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
            self._hub.kept.put(self.name, heard, message.size, self._hub.bounds)

    def _ways(self) -> list[_Way]:
        return [(m.session, m) for m in self._members.values() if m not in self._held]

    def send(self, member: Membership, heard: Heard, lane: Lane | None = None) -> None:
        """Send one message to one member, by its policy or that of another lane."""
        try:
            if not member.session._try_prepared(heard.message):
                member.queue(heard.message, heard.key, lane)
        except ProtocolError as error:  # the session has failed, and leaves by that
            logger.debug("room %r: %s", self.name, error)

    def lose(self, position: Position, reason: str) -> None:
        """Some messages up to a position will never be heard."""
        missed = Missed(reason, self.position, position)
        self.position = position
        self._hub.kept.drop(self.name)
        for member in self.members():
            member.miss(missed)

    def release(self, member: Membership) -> None:
        """A member is held no more."""
        self._held.pop(member, None)
        self._everybody = None

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
        missed: Which messages never reach it, if some do not: those of which it was told last.
    """

    def __init__(
        self,
        room: Room,
        session: Session,
        options: RoomOptions,
        info: Mapping[str, Any] | None,
        on_missed: Callable[[Missed], object] | None = None,
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
            for counters in (self.room.counters, self.room._hub.counters):
                counters.recovered += 1
        asyncio.get_running_loop().call_soon(self._go_live, catching_up, found)

    def _go_live(self, catching_up: CatchingUp, found: list[Heard]) -> None:
        if self._catching_up is not catching_up:
            return  # it has left
        self._catching_up = None
        self.room.release(self)
        for heard in catching_up.after(found):
            if self.me.id not in heard.left_out:
                self.room.send(self, heard, self._replays)

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
        for counters in (self.room.counters, self.room._hub.counters):
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


class _Joining:
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
            await room._hub.enter(room.name, members.me)
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
