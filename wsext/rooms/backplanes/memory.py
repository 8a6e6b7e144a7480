"""The backplane of one process: nobody else to reach, and the last messages of rooms kept.

``memory://NAME`` connects the apps of one process that use the same name; ``memory://`` is an app's
own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from wsext.rooms.backplanes.contract import Backplane, Incomplete, LogSubscriber, Subscriber
from wsext.rooms.backplanes.ids import RememberedIds
from wsext.rooms.backplanes.kept import Bounds, KeptMessages
from wsext.rooms.backplanes.options import MemoryOptions, take_options
from wsext.rooms.backplanes.positions import Position, new_epoch

__all__ = ["MemoryBackplane"]

#: Rooms that are open nowhere of which numbers and ids are remembered, for each room of which
#: messages are kept.
_LOGS_PER_ROOM = 10


class _Numbers:
    """Where the messages of a room stand."""

    def __init__(self, ids: RememberedIds) -> None:
        self.position = Position(new_epoch(), 0)
        self.ids = ids


class _Bus:
    """What the apps on one name share."""

    def __init__(self) -> None:
        self.planes: list[MemoryBackplane] = []
        self.kept: KeptMessages[bytes] = KeptMessages(len)
        self.members: dict[str, dict[str, bytes]] = {}
        self.logs: dict[str, _Numbers] = {}
        #: The rooms of those that are open nowhere; the one that was not used for longest first.
        self.unused: OrderedDict[str, None] = OrderedDict()

    def log(self, room: str, options: MemoryOptions) -> _Numbers:
        """The log of a room. It is remembered as long as the room is open, and for a while then."""
        log = self.logs.get(room)
        if log is None:
            self.kept.drop(room)  # who has said it, nobody can tell any more
            log = self.logs[room] = _Numbers(RememberedIds(options.ids, options.id_ttl))
        self.note_use(room, options)
        return log

    def note_use(self, room: str, options: MemoryOptions) -> None:
        """If a room is open nowhere, its log is the last to be forgotten, and the oldest may go."""
        if room not in self.logs or any(room in plane._open for plane in self.planes):
            return
        self.unused[room] = None
        self.unused.move_to_end(room)
        if len(self.unused) > _LOGS_PER_ROOM * options.rooms:
            oldest, _ = self.unused.popitem(last=False)
            del self.logs[oldest]


_buses: WeakValueDictionary[str, _Bus] = WeakValueDictionary()


class MemoryBackplane(Backplane):
    """Rooms of this process alone.

    Args:
        url: ``memory://NAME`` with the parameters of `MemoryOptions`.

    Raises:
        OptionError: For an unknown parameter or a value that does not fit.
    """

    can_recover = True
    is_prompt = True

    def __init__(self, url: str = "memory://") -> None:
        super().__init__()
        _, self._options = take_options(url, MemoryOptions)
        name = urlsplit(url).netloc
        self._bus = _buses.setdefault(name, _Bus()) if name else _Bus()
        self._subscriber: Subscriber | None = None
        self._open: set[str] = set()

    async def start(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._bus.planes.append(self)

    async def close(self) -> None:
        if self in self._bus.planes:
            self._bus.planes.remove(self)
        for room in list(self._open):
            await self.shut(room)
        if self._subscriber is not None:
            for members in self._bus.members.values():
                for member in [key for key in members if key.startswith(self._subscriber.origin)]:
                    del members[member]

    async def open(self, room: str, history: int) -> list[bytes]:
        self._open.add(room)
        self._bus.unused.pop(room, None)
        return self._bus.kept.last(room, history)

    async def shut(self, room: str) -> None:
        self._open.discard(room)
        self._bus.note_use(room, self._options)

    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        bus, position = self._bus, None
        if kept:
            if room in bus.logs or any(plane.recovery for plane in bus.planes):
                position = self._number(room)
            self._keep(room, payload)
        if len(bus.planes) > 1 or self.recovery:
            for plane in list(bus.planes):
                if room in plane._open and plane._subscriber is not None:
                    plane.status.received += kept and plane is not self
                    if plane.recovery and position is not None:
                        cast("LogSubscriber", plane._subscriber).hear(room, position, payload)
                    elif plane is not self:
                        plane._subscriber.receive(room, payload)
        self.status.published += kept

    def _number(self, room: str) -> Position:
        log = self._bus.log(room, self._options)
        log.position = Position(log.position.epoch, log.position.number + 1)
        return log.position

    def submit(
        self, room: str, payload: bytes, id: str | None, outcome: asyncio.Future[Position]
    ) -> None:
        log = self._bus.log(room, self._options)
        was = None if id is None else log.ids.find(id)
        if was is not None:
            self.status.repeated += 1
            outcome.set_result(Position(log.position.epoch, was))
            return
        if id is not None:
            log.ids.put(id, log.position.number + 1)
        self.publish(room, payload)
        outcome.set_result(log.position)

    async def open_log(
        self, room: str, history: int
    ) -> tuple[Position | None, list[tuple[Position, bytes]]]:
        payloads = await self.open(room, history)
        epoch, top = self._bus.log(room, self._options).position
        first = top - len(payloads) + 1
        return Position(epoch, top), [
            (Position(epoch, number), payload) for number, payload in enumerate(payloads, first)
        ]

    async def replay(
        self, room: str, since: Position, until: Position | None, messages: int, size: int
    ) -> list[tuple[Position, bytes]]:
        epoch, top = self._bus.log(room, self._options).position
        if since.epoch != epoch or since.number > top:
            raise Incomplete("ahead" if since.epoch == epoch else "epoch")
        until = until or Position(epoch, top)
        if until.number - since.number > messages:
            raise Incomplete("too-much")
        kept = self._bus.kept.last(room, top - since.number)
        if len(kept) < top - since.number:
            raise Incomplete("expired")
        wanted = kept[: until.number - since.number]
        if sum(map(len, wanted)) > size:
            raise Incomplete("too-much")
        return [
            (Position(epoch, number), payload)
            for number, payload in enumerate(wanted, since.number + 1)
        ]

    def _keep(self, room: str, payload: bytes) -> None:
        options = self._options
        wanted = [
            options.retain if plane.history is None or plane.recovery else plane.history
            for plane in self._bus.planes
        ]
        bounds = Bounds(
            min(options.retain, max(wanted, default=options.retain)),
            *(options.retain_bytes, options.total_bytes, options.rooms, options.ttl),
        )
        self._bus.kept.put(room, payload, len(payload), bounds)
        self.status.kept_bytes = self._bus.kept.size

    async def enter(self, room: str, member: str, info: bytes) -> None:
        self._bus.members.setdefault(room, {})[member] = info

    async def leave(self, room: str, member: str) -> None:
        members = self._bus.members.get(room, {})
        members.pop(member, None)
        if not members:
            self._bus.members.pop(room, None)

    async def members(self, room: str) -> dict[str, bytes]:
        return dict(self._bus.members.get(room, {}))
