"""Rooms: who is in one hears what is said in it, and has a queue of its own if it reads slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

from wsext.errors import OptionError, ProtocolError, RoomError
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.protocol.contexts import SharedContext
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.audience import Audience
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.catching_up import CatchingUp
from wsext.rooms.counters import Counters
from wsext.rooms.heard import Heard, Missed
from wsext.rooms.membership import Joining, Membership
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence, Watch
from wsext.rooms.settings import RoomOverflow
from wsext.runtime.session import Session
from wsext.runtime.session_path import send_to_all

__all__ = ["Membership", "Room"]

logger = get_logger("wsext.rooms")

#: How a message gets to each member: at once, or by the member's lane of its session's outbox.
_Way: TypeAlias = "tuple[list[Session], list[Membership]]"
#: To those who take JSON, and to those who take MessagePack.
_Ways: TypeAlias = "tuple[_Way, _Way]"


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
        self._everybody: _Ways | None = None
        self._held: dict[Membership, CatchingUp] = {}
        self.position: Position | None = None
        self._opening: asyncio.Task[None] | None = None
        self._joining = 0
        self.watch = Watch()
        self._context = SharedContext()
        self._packed_context = SharedContext()  # of those who take MessagePack

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
    ) -> Joining:
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
        self._hub.check_thread("room.join_nowait")
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
        member = Membership(self._hub, self, session, options, info, on_missed)
        return Joining(member, history, since)

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
            before = [Heard.of(message) for message in await self._hub.open(self.name)]
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
            member.give(heard)
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
        self._hub.contexts.drop(self._context)
        self._hub.contexts.drop(self._packed_context)
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
        options = self._hub.options
        everybody = self._everybody
        if heard.left_out:
            everybody = self._ways(heard.left_out)
        elif everybody is None:
            everybody = self._everybody = self._ways()
        plain, packed = everybody
        if options.shared_context:
            heard = heard.within(self._context, self._packed_context if packed[0] else None)
        if heard.position is not None:
            self.position = heard.position
            for catching_up in self._held.values():
                catching_up.hold(heard)
        self._hand_out(heard.message, heard.key, plain)
        if packed[0]:
            self._hand_out(heard.form("msgpack"), heard.key, packed)
        for counters in (self.counters, self._hub.counters):
            counters.messages += 1
            counters.bytes += heard.message.size
            counters.delivered += len(plain[0]) + len(packed[0])
        if self._opening is not None:
            self._hub.kept.put(self.name, heard, heard.message.size, self._hub.bounds)
            self._hub.contexts.use(self._context, options.context_total_bytes)
            if packed[0]:
                self._hub.contexts.use(self._packed_context, options.context_total_bytes)

    def _hand_out(self, message: PreparedMessage, key: Key | None, way: _Way) -> None:
        sessions, members = way
        for number in send_to_all(message, sessions):
            try:
                members[number].queue(message, key)
            except ProtocolError as error:  # that member's session has failed
                logger.debug("room %r: %s", self.name, error)

    def _ways(self, left_out: Collection[str] = ()) -> _Ways:
        ways: _Ways = ([], []), ([], [])
        for member in self._members.values():
            if member not in self._held and member.me.id not in left_out:
                sessions, members = ways[member.format == "msgpack"]
                sessions.append(member.session)
                members.append(member)
        return ways

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
