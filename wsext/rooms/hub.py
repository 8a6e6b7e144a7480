"""The hub: the rooms of an app in this process, and the backplane that joins them with others'."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any
from weakref import WeakValueDictionary

from wsext.errors import OptionError, RoomError
from wsext.escape import get_logger
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.contract import Backplane, BackplaneStatus
from wsext.rooms.backplanes.envelope import record_id
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.kept import Bounds, KeptMessages
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.contexts import Contexts
from wsext.rooms.counters import Counters
from wsext.rooms.heard import Heard, stamped
from wsext.rooms.names import check_id, check_name
from wsext.rooms.notes import NOTES, Back, Came, Note, Said, Went, encode, read_members
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence
from wsext.rooms.room import Room
from wsext.rooms.settings import RoomOptions
from wsext.runtime.life import life_of
from wsext.runtime.loop import need_running_loop, refuse_other_thread
from wsext.runtime.prepared_value import PreparedValue
from wsext.runtime.session import Session

__all__ = ["Hub"]

logger = get_logger("wsext.hub")

#: Seconds between comparisons of who is there, for lost notes and processes that died.
_COMPARE = 15.0

#: Copies for members, of 8 KiB each, that broadcasts hand out before other sessions have a turn.
_MOST_WORK = 500

#: Pieces of work that may wait for the broker, and how many more for each session in a room.
_MOST_TASKS = 1000
_TASKS_PER_MEMBER = 4


class Hub(RoomHub):
    """The rooms of one app in this process; `App.room` gives them out.

    It starts with the first server of the app, or when a room is first used, and ends with the
    last server.

    Args:
        options: Gives the options of every room.
        backplane: Makes what joins the rooms with those of other processes; asked once.

    Attributes:
        origin: Names this process among those on the backplane.
        counters: Totals of all rooms here.
        kept: The last messages of the rooms that are open here; ``kept.size`` is how many bytes
            they take.
        contexts: The contexts in which rooms are compressed; ``contexts.size`` is how many bytes
            they take.
    """

    def __init__(
        self, options: Callable[[], RoomOptions], backplane: Callable[[], Backplane]
    ) -> None:
        self._options = options
        self._make_backplane = backplane
        self.origin = ""
        self.counters = Counters()
        self._rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._open: set[Room] = set()
        self._backplane: Backplane | None = None
        self._users: set[object] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self.kept: KeptMessages[Heard] = KeptMessages(attrgetter("held_bytes"))
        self.contexts = Contexts()
        self._seats: Counter[Session] = Counter()
        self._work = 0
        self._early: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def options(self) -> RoomOptions:
        return self._options()

    @property
    def bounds(self) -> Bounds:
        options = self.options
        return Bounds(options.history, options.history_bytes, options.history_total_bytes)

    @property
    def is_swamped(self) -> bool:
        most = _MOST_TASKS + _TASKS_PER_MEMBER * len(self._seats)
        # Where nothing waits, many have just left, and it is done in the loop's next turn.
        return len(self._tasks) > most and not self.backplane.is_prompt

    @property
    def backplane(self) -> Backplane:
        """What joins the rooms with those of other processes.

        Raises:
            OptionError: If the URL in the options cannot be used, or cannot do what they ask for.
        """
        if self._backplane is None:
            backplane = self._make_backplane()
            if self.options.recovery and not backplane.can_recover:
                problem = f"{backplane.status.url} gives messages no positions"
                raise OptionError("rooms", "recovery", problem)
            self._backplane = backplane
            self._faults = Faults(self._backplane.status)
        return self._backplane

    @property
    def status(self) -> BackplaneStatus:
        """How the backplane is: connected or not, what waits, what was given up."""
        return self.backplane.status

    @property
    def rooms(self) -> list[Room]:
        """The rooms that have members here."""
        return list(self._open)

    def room(self, name: str) -> Room:
        """The room of a name; see `App.room`."""
        room = self._rooms.get(name)
        if room is None:
            check_name(name)
            room = self._rooms[name] = Room(self, name)
        return room

    def check_thread(self, call: str) -> None:
        if self._loop is not None:
            refuse_other_thread(self._loop, call)

    def member_id(self, session: Session) -> str:
        self._ensure_started()
        return f"{self.origin}.{session.id}"

    # --- life ---------------------------------------------------------------------------------

    def hold(self, user: object) -> None:
        """Keep going until this user lets go: a server."""
        self._users.add(user)

    async def start(self) -> None:
        """Start, unless it has; waits for the first attempt to reach the broker."""
        await asyncio.shield(self._ensure_started())

    async def let_go(self, user: object) -> None:
        """A user is done; after the last one, the hub ends."""
        self._users.discard(user)
        if self._users or self._starting is None:
            return
        starting, self._starting = self._starting, None
        for task in list(self._tasks):
            if task is not starting:
                task.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await self.backplane.close()
        self._forget()

    def _forget(self) -> None:
        self._open.clear()
        self._seats.clear()
        for room in list(self._rooms.values()):
            room.forget()

    async def flush(self) -> None:
        """Wait until nothing waits for slow members or for the broker, as far as they are there."""
        members = (member for room in self._open for member in room.members())
        sessions = {member.session for member in members if member.session.connected}
        await asyncio.gather(*(life_of(session).wait_written() for session in sessions))
        if self._starting is not None:
            await self.backplane.wait_sent()

    def _ensure_started(self) -> asyncio.Task[None]:
        loop = need_running_loop("a room")
        if self._starting is None or self._loop is not loop:
            self._loop = loop
            self.origin = secrets.token_hex(6)
            self._tasks.clear()
            self._forget()
            self._starting = self.spawn(self._start())
        return self._starting

    async def _start(self) -> None:
        self.backplane.history = self.options.history
        self.backplane.recovery = self.options.recovery
        await self.backplane.start(self)
        early, self._early = self._early, []
        for publish in early:
            publish()
        self.spawn(self._compare_now_and_then())

    async def _compare_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_COMPARE)
            self._compare()
            self.contexts.drop_idle()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("rooms: %s failed", task.get_name(), exc_info=error)

    # --- for rooms ----------------------------------------------------------------------------

    async def open(self, name: str) -> list[PreparedMessage | PreparedValue]:
        await self.start()
        payloads = await self.backplane.open(name, self.options.history)
        notes = [self._read(name, payload) for payload in payloads]
        return [note.message for note in notes if isinstance(note, Said)]

    async def open_log(self, name: str) -> tuple[Position | None, list[Heard]]:
        await self.start()
        position, messages = await self.backplane.open_log(name, self.options.history)
        return position, self._heard(name, messages)

    async def replay(self, name: str, since: Position, until: Position | None) -> list[Heard]:
        bounds = self.options.replay_messages, self.options.replay_bytes
        messages = await self.backplane.replay(name, since, until, *bounds)
        heard = self._heard(name, messages)
        for counters in (self.counters, self._rooms[name].counters):
            counters.replayed += len(heard)
            counters.replayed_bytes += sum(each.message.size for each in heard)
        return heard

    def _heard(self, name: str, messages: Iterable[tuple[Position, bytes]]) -> list[Heard]:
        """What can be read of some messages that follow one another."""
        heard: list[Heard] = []
        after: Position | None = None
        for position, payload in messages:
            after = after or Position(position.epoch, position.number - 1)
            note = self._read(name, payload)
            if isinstance(note, Said):
                heard.append(self._made(note, position, after))
                after = position
        return heard

    def _made(self, said: Said, position: Position, after: Position | None) -> Heard:
        message = stamped(said.at(position), self.options.stamp)
        left_out = frozenset(said.left_out)
        return Heard.of(message, key=said.key, left_out=left_out, position=position, after=after)

    def admit(self, session: Session) -> None:
        if self._seats[session] >= (most := self.options.max_rooms_per_session):
            raise RoomError("in too many rooms", problem=f"a session may be in {most} rooms")
        self._seats[session] += 1

    def dismiss(self, session: Session) -> None:
        self._seats[session] -= 1
        if not self._seats[session]:
            del self._seats[session]

    def keep(self, name: str) -> None:
        self._open.add(self._rooms[name])

    def shut(self, name: str) -> None:
        self._open.discard(self._rooms[name])
        self.spawn(self._shut(name))

    async def _shut(self, name: str) -> None:
        room = self._rooms.get(name)
        if room is None or not room.is_open:
            await self.backplane.shut(name)

    def say(
        self,
        room: str,
        message: PreparedMessage | PreparedValue,
        key: Key | None,
        left_out: frozenset[str],
        id: str | None = None,
    ) -> asyncio.Future[Position] | None:
        if id is not None:
            check_id(id)
            if not self.options.recovery:
                problem = "without it, a broadcast cannot have an id"
                raise OptionError("rooms", "recovery", problem)
        payload = encode(Said.of(message, key, left_out, id))
        target, heard = self._rooms[room], Heard.of(message, key=key, left_out=left_out)
        self._work += len(target) * (1 + (heard.message.size >> 13))
        if self.options.recovery:
            return self._submit(room, payload, None if id is None else record_id("", id))
        self._publish(room, payload, kept=True)
        target.deliver(heard)
        return None

    def _publish(self, room: str, payload: bytes, *, kept: bool) -> None:
        if self._ensure_started().done():
            self.backplane.publish(room, payload, kept=kept)
        else:
            self._early.append(partial(self.backplane.publish, room, payload, kept=kept))

    def _submit(self, room: str, payload: bytes, id: str | None) -> asyncio.Future[Position]:
        outcome = need_running_loop("a room").create_future()
        outcome.add_done_callback(_seen)  # nobody has to ask what became of it
        if self._ensure_started().done():
            self.backplane.submit(room, payload, id, outcome)
        else:
            self._early.append(partial(self._submit_late, room, payload, id, outcome))
        return outcome

    def _submit_late(
        self, room: str, payload: bytes, id: str | None, outcome: asyncio.Future[Position]
    ) -> None:
        """What was said before the backplane was there."""
        try:
            self.backplane.submit(room, payload, id, outcome)
        except RoomError as error:
            outcome.set_exception(error)

    async def wait_sent(self) -> None:
        if self._work > _MOST_WORK:  # other sessions have their turn
            self._work = 0
            await asyncio.sleep(0)
        if self.backplane.is_behind:
            await self.backplane.wait_sent()

    async def enter(self, room: str, member: Presence) -> None:
        await self.start()
        await self.backplane.enter(room, member.id, encode(member))
        self._publish(room, encode(Came(member)), kept=False)

    def leave(self, room: str, member: Presence) -> None:
        if self._starting is None:
            return  # the hub has ended, and has told it of all
        self.spawn(self.backplane.leave(room, member.id))  # first, so that it is true then
        self._publish(room, encode(Went(member)), kept=False)

    async def presence(self, name: str) -> list[Presence]:
        """Who is in a room; this process knows its own best."""
        await self.start()
        try:
            found = await self.backplane.members(name)
        except ConnectionError:
            found = {}
        here, own = self._rooms[name].here(), f"{self.origin}."
        others = {id: info for id, info in found.items() if not id.startswith(own)}
        return [*here, *read_members(self._faults, name, others)]

    # --- for the backplane --------------------------------------------------------------------

    def receive(self, room: str, payload: bytes) -> None:
        """Another process said something."""
        target = self._rooms.get(room)
        if target is None:
            return
        note = self._read(room, payload)
        if isinstance(note, Said):
            left_out = frozenset(note.left_out)
            target.deliver(Heard.of(note.message, key=note.key, left_out=left_out))
        elif isinstance(note, Back):
            target.compare_presence()
        elif note is not None:
            target.watch.tell("join" if isinstance(note, Came) else "leave", note.member)

    def hear(self, room: str, position: Position, payload: bytes | None) -> None:
        """Somebody said something, or only the position is another."""
        if (target := self._rooms.get(room)) is None:
            return
        note = None if payload is None else self._read(room, payload)
        if not isinstance(note, Said):
            target.position = position
            return
        try:
            heard = self._made(note, position, target.position)
        except Exception as error:
            logger.error("room %r: RoomOptions.stamp failed", room, exc_info=error)
            target.lose(position, "stamp")
        else:
            target.deliver(heard)

    def lose(self, room: str, position: Position, reason: str) -> None:
        """Some of what was said up to a position will never be heard."""
        if (target := self._rooms.get(room)) is not None:
            target.lose(position, reason)

    def _read(self, room: str, payload: bytes) -> Note | None:
        note = self._faults.read("the content of a message", room, NOTES, payload)
        if isinstance(note, Came | Went) and note.member.id.startswith(f"{self.origin}."):
            self._faults.add(
                "the content of a message", room, "it tells of a member of this process"
            )
            return None
        return note

    def resynced(self) -> None:
        """Who is where may have changed unnoticed, here and for the others."""
        for room in self._open:
            self._publish(room.name, encode(Back()), kept=False)
        self._compare()

    def _compare(self) -> None:
        for room in self._open:
            room.compare_presence()


def _seen(outcome: asyncio.Future[Position]) -> None:
    if not outcome.cancelled():
        outcome.exception()
