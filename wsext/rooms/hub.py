"""The hub: the rooms of an app in this process, and the backplane that joins them with others'."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from wsext.escape import get_logger
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.contract import Backplane, BackplaneStatus
from wsext.rooms.counters import Counters
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence
from wsext.rooms.room import Room
from wsext.rooms.settings import RoomOptions
from wsext.runtime.life import life_of
from wsext.runtime.session import Session

__all__ = ["Hub"]

logger = get_logger("wsext.hub")

#: Seconds between comparisons of who is there, for lost notes and processes that died.
_COMPARE = 15.0

#: The longest name of a room, in bytes of UTF-8: brokers put it into theirs.
_LONGEST_NAME = 255


class _Said(msgspec.Struct, array_like=True, tag="m", omit_defaults=True):
    """A broadcast, on its way to another process or kept for later."""

    data: Any  # str or bytes, as msgpack tells them apart
    key: str | int | None = None
    left_out: list[str] = []
    hints: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None


class _Came(msgspec.Struct, array_like=True, tag="+"):
    """Somebody has joined."""

    member: Presence


class _Went(msgspec.Struct, array_like=True, tag="-"):
    """Somebody has left."""

    member: Presence


class _Back(msgspec.Struct, array_like=True, tag="?"):
    """A process has been away, so that what others know of its members may be wrong."""


_encode = msgspec.msgpack.Encoder().encode
_Note = _Said | _Came | _Went | _Back
_decoder: msgspec.msgpack.Decoder[_Note] = msgspec.msgpack.Decoder(_Note)
_decode_member = msgspec.msgpack.Decoder(Presence).decode


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
        self._early: list[tuple[str, bytes, bool]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def options(self) -> RoomOptions:
        return self._options()

    @property
    def backplane(self) -> Backplane:
        """What joins the rooms with those of other processes.

        Raises:
            OptionError: If the URL in the options cannot be used.
        """
        if self._backplane is None:
            self._backplane = self._make_backplane()
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
            if not name or len(name.encode()) > _LONGEST_NAME:
                raise ValueError(f"a room's name has 1 to {_LONGEST_NAME} bytes: {name[:40]!r}")
            room = self._rooms[name] = Room(self, name)
        return room

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
        for room in list(self._rooms.values()):
            room.forget()

    async def flush(self) -> None:
        """Wait until nothing waits for slow members or for the broker, as far as it is there."""
        sessions = {member.session for room in self._open for member in room.members()}
        await asyncio.gather(*(life_of(session).wait_written() for session in sessions))
        if self._starting is not None:
            await self.backplane.wait_sent()

    def _ensure_started(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._starting is None or self._loop is not loop:
            self._loop = loop
            self.origin = secrets.token_hex(6)
            self._tasks.clear()
            self._forget()
            self._starting = self.spawn(self._start())
        return self._starting

    async def _start(self) -> None:
        await self.backplane.start(self)
        early, self._early = self._early, []
        for room, payload, kept in early:
            self.backplane.publish(room, payload, kept=kept)
        self.spawn(self._compare_now_and_then())

    async def _compare_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_COMPARE)
            self._compare()

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

    async def open(self, name: str) -> list[PreparedMessage]:
        await self.start()
        payloads = await self.backplane.open(name, self.options.history)
        return [_message(item) for item in map(_read, payloads) if isinstance(item, _Said)]

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
        self, room: str, message: PreparedMessage, key: Key | None, left_out: frozenset[str]
    ) -> None:
        hints, meta = message.hints, message.meta
        said = _Said(
            message.data,
            key,
            sorted(left_out),
            None if hints is None else dict(hints),
            None if meta is None else dict(meta),
        )
        self._publish(room, _encode(said), kept=True)
        self._rooms[room].deliver(message, key, left_out)

    def _publish(self, room: str, payload: bytes, *, kept: bool) -> None:
        if self._ensure_started().done():
            self.backplane.publish(room, payload, kept=kept)
        else:
            self._early.append((room, payload, kept))

    async def wait_sent(self) -> None:
        if self.backplane.is_behind:
            await self.backplane.wait_sent()

    async def enter(self, room: str, member: Presence) -> None:
        await self.start()
        await self.backplane.enter(room, member.id, _encode(member))
        self._publish(room, _encode(_Came(member)), kept=False)

    def leave(self, room: str, member: Presence) -> None:
        if self._starting is None:
            return  # the hub has ended, and has told it of all
        self._publish(room, _encode(_Went(member)), kept=False)
        self.spawn(self.backplane.leave(room, member.id))

    async def presence(self, name: str) -> list[Presence]:
        """Who is in a room; this process knows its own best."""
        await self.start()
        try:
            found = await self.backplane.members(name)
        except ConnectionError:
            found = {}
        others = [
            _decode_member(info)
            for member, info in sorted(found.items())
            if not member.startswith(f"{self.origin}.")
        ]
        return [*self._rooms[name].here(), *others]

    # --- for the backplane --------------------------------------------------------------------

    def receive(self, room: str, payload: bytes) -> None:
        """Another process said something."""
        target = self._rooms.get(room)
        if target is None:
            return
        said = _read(payload)
        if isinstance(said, _Said):
            target.deliver(_message(said), said.key, frozenset(said.left_out))
        elif isinstance(said, _Back):
            target.compare_presence()
        elif said is not None:
            target.watch.tell("join" if isinstance(said, _Came) else "leave", said.member)

    def resynced(self) -> None:
        """Who is where may have changed unnoticed, here and for the others."""
        for room in self._open:
            self._publish(room.name, _encode(_Back()), kept=False)
        self._compare()

    def _compare(self) -> None:
        for room in self._open:
            room.compare_presence()


def _read(payload: bytes) -> _Note | None:
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:  # another version of wsext, or another program
        logger.warning("a message from the backplane cannot be read: %s", error)
        return None


def _message(said: _Said) -> PreparedMessage:
    return PreparedMessage(said.data, hints=said.hints, meta=said.meta)
