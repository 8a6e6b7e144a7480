"""What other processes say in the rooms that are open here: each message once.

`Following` needs no numbers of the broker: it goes by origins and their own numbers. With positions
`wsext.rooms.backplanes.following_logs` does it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from wsext.rooms.backplanes.broker import UNREADABLE, Broker
from wsext.rooms.backplanes.contract import BackplaneStatus, Subscriber
from wsext.rooms.backplanes.envelope import DECODER, Envelope
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.options import RemoteOptions
from wsext.rooms.backplanes.outgoing import OutgoingRecords
from wsext.rooms.backplanes.positions import Position

__all__ = ["Following", "Line", "OpenRoom", "OpenRooms"]

T = TypeVar("T")
Open = TypeVar("Open", bound="OpenRoom")

#: Messages at a room's end in which a publisher looks for its own.
_TAIL = 2000

#: Processes whose last number in a room is remembered; the one silent longest goes first.
_MOST_ORIGINS = 1000


class Line:
    """The connection to a broker, and what is known about it.

    Attributes:
        broker: What talks to the broker.
        subscriber: Who hears the rooms.
        outgoing: What waits for the broker.
        faults: Reads what comes.
        options: Bounds and times.
        status: Whether the broker is there.
        lost: To call with what ended the connection.
        number: Which connection it is.
    """

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        outgoing: OutgoingRecords,
        faults: Faults,
        options: RemoteOptions,
        status: BackplaneStatus,
        lost: Callable[[Exception], None],
    ) -> None:
        self.broker = broker
        self.subscriber = subscriber
        self.outgoing = outgoing
        self.faults = faults
        self.options = options
        self.status = status
        self.lost = lost
        self.number = 0

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that the broker has to answer."""
        async with asyncio.timeout(self.options.timeout):
            return await work

    async def about(self, room: str, work: Coroutine[Any, Any, T], otherwise: T) -> T:
        """Do something about one room. If something there cannot be read, the others go on."""
        try:
            return await self.in_time(work)
        except UNREADABLE as error:
            self.faults.add("something", room, type(error).__name__)
            return otherwise

    async def attempt(
        self, work: Coroutine[Any, Any, T], otherwise: T, *, room: str | None = None
    ) -> T:
        """Do something while the broker is there, `about` a room or not; if that fails, the
        connection is lost."""
        if not self.status.connected:
            work.close()
            return otherwise
        try:
            if room is None:
                return await self.in_time(work)
            return await self.about(room, work, otherwise)
        except Exception as error:
            self.lost(error)
            return otherwise

    def read(self, room: str, data: bytes) -> Envelope | None:
        """What is stored of a message, if it can be read."""
        if len(data) > self.options.max_message_bytes:
            self.faults.add("a message", room, "it is too large")
            return None
        return self.faults.read("a message", room, DECODER, data)


class OpenRoom:
    """A room that is open here.

    Attributes:
        seen: The last number of every origin.
        position: Where to read on.
        connection: The number of the connection on which it is followed.
    """

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.position: Any = None
        self.connection = 0

    def is_new(self, origin: str, number: int) -> bool:
        """Whether a message has not been seen; from now on it has."""
        if not number:
            return True  # its publisher does not count; the broker has found out
        last = self.seen.pop(origin, 0)
        self.seen[origin] = max(number, last)
        if len(self.seen) > _MOST_ORIGINS:
            del self.seen[next(iter(self.seen))]
        return number > last


class OpenRooms(ABC, Generic[Open]):
    """Which rooms are open here.

    Args:
        line: The connection.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rooms: dict[str, Open] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, room: str) -> asyncio.Lock:
        """Whoever opens, follows or leaves a room has to hold it."""
        return self._locks.setdefault(room, asyncio.Lock())

    async def shut(self, room: str) -> None:
        """Hear no more of a room."""
        self._rooms.pop(room, None)
        async with self.lock(room):
            if room not in self._rooms:
                await self._line.attempt(self._line.broker.unfollow(room), None, room=room)

    async def go_on(self) -> None:
        """There is another connection: hear on where the last one ended."""
        while missing := [
            (room, open)
            for room, open in self._rooms.items()
            if open.connection != self._line.number
        ]:
            for room, open in missing:
                await self._line.about(room, self._again(room, open), None)

    async def _again(self, room: str, open: Open) -> None:
        async with self.lock(room):
            open.connection = self._line.number  # unless it has to be followed once more
            if self._rooms.get(room) is open:
                await self._follow(room, open)

    @abstractmethod
    async def _follow(self, room: str, open: Open) -> None:
        """Follow a room, from where it was left or from now on."""

    def deliver(self, room: str, position: Any, data: bytes) -> None:
        """The broker has delivered something."""
        open = self._rooms.get(room)
        if open is None:
            return
        if position is None:
            self._note(room, data)
        else:
            self._take(room, open, position, data)

    @abstractmethod
    def _take(self, room: str, open: Open, position: Any, data: bytes) -> None:
        """Something came that is stored."""

    @abstractmethod
    async def last_own(self, room: str) -> int:
        """The last number of this process that the broker has in a room."""

    def payloads(
        self, room: str, found: Sequence[tuple[Any, bytes]]
    ) -> list[tuple[Position | None, bytes]]:
        """What messages at a room's end hold, each once, with their positions."""
        seen = OpenRoom()
        read = [(position, self._line.read(room, data)) for position, data in found]
        return [
            (position if isinstance(position, Position) else None, stored[2])
            for position, stored in read
            if stored and seen.is_new(*stored[:2])
        ]

    def _note(self, room: str, data: bytes) -> None:
        """Something came that is not stored."""
        stored = self._line.read(room, data)
        if stored is not None and stored[0] != self._line.subscriber.origin:
            self._line.subscriber.receive(room, stored[2])


class _Unnumbered(OpenRoom):
    """A room without numbers.

    Attributes:
        since: Own messages after this number are in the hub's hands already.
        known: Whether ``position`` means something.
    """

    def __init__(self, since: int) -> None:
        super().__init__()
        self.since = since
        self.known = False


class Following(OpenRooms[_Unnumbered]):
    """What other processes say; each of their messages has their own number."""

    def _take(self, room: str, open: _Unnumbered, position: Any, data: bytes) -> None:
        open.position = position
        stored = self._line.read(room, data)
        if stored is None or stored[0] == self._line.subscriber.origin:
            return
        origin, number, payload = stored
        if not open.is_new(origin, number):
            self._line.status.repeated += 1
            return
        self._line.status.received += 1
        self._line.subscriber.receive(room, payload)

    async def open(self, room: str, history: int, since: int) -> list[bytes]:
        """Hear a room from now on.

        Args:
            room: The room.
            history: How many of its last messages are wanted.
            since: The last number of this process so far.
        """
        open = self._rooms[room] = _Unnumbered(since)
        async with self.lock(room):
            found = await self._line.attempt(self._begin(room, open, history), None, room=room)
        return self._own(room, open, history) if found is None else found

    async def _begin(self, room: str, open: _Unnumbered, history: int) -> list[bytes] | None:
        mine, payloads = self._line.subscriber.origin, []
        for position, data in await self._line.broker.tail(room, max(history, 1)):
            open.position = position
            if (stored := self._line.read(room, data)) is None:
                continue
            origin, number, payload = stored
            if open.is_new(origin, number) and (origin != mine or number <= open.since):
                payloads.append(payload)
        open.known = True
        payloads += self._own(room, open, history)
        await self._line.broker.follow(room, open.position)
        open.connection = self._line.number
        return payloads[-history:] if history else []

    def _own(self, room: str, open: _Unnumbered, history: int) -> list[bytes]:
        """What this process sent before it opened the room, and has not got from the broker."""
        after = open.seen.get(self._line.subscriber.origin, 0)
        records = self._line.outgoing.of(room, after, open.since)
        return [DECODER.decode(r.data)[2] for r in records[-history:]] if history else []

    async def _follow(self, room: str, open: _Unnumbered) -> None:
        if not open.known:  # it was opened while the broker was away: from now on
            for position, data in await self._line.broker.tail(room, 1):
                open.position = position
                if stored := self._line.read(room, data):
                    open.is_new(*stored[:2])
            open.known = True
        await self._line.broker.follow(room, open.position)

    async def last_own(self, room: str) -> int:
        tail = await self._line.broker.tail(room, _TAIL)
        found = [self._line.read(room, data) for _, data in tail]
        mine = self._line.subscriber.origin
        return max((stored[1] for stored in found if stored and stored[0] == mine), default=0)
