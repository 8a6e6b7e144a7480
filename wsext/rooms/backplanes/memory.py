"""The backplane of one process: nobody else to reach, and the last messages of rooms kept.

``memory://NAME`` connects the apps of one process that use the same name; ``memory://`` is an app's
own.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from wsext.rooms.backplanes.contract import Backplane, Subscriber
from wsext.rooms.backplanes.options import MemoryOptions, take_options

__all__ = ["MemoryBackplane"]


class _Log:
    """The last messages of one room."""

    __slots__ = ("messages", "size", "used")

    def __init__(self) -> None:
        self.messages: deque[bytes] = deque()
        self.size = 0
        self.used = 0.0


class _Bus:
    """What the apps on one name share."""

    def __init__(self) -> None:
        self.planes: list[MemoryBackplane] = []
        self.logs: OrderedDict[str, _Log] = OrderedDict()
        self.members: dict[str, dict[str, bytes]] = {}


_buses: WeakValueDictionary[str, _Bus] = WeakValueDictionary()


class MemoryBackplane(Backplane):
    """Rooms of this process alone.

    Args:
        url: ``memory://NAME`` with the parameters of `MemoryOptions`.

    Raises:
        OptionError: For an unknown parameter or a value that does not fit.
    """

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
        self._open.clear()
        if self._subscriber is not None:
            for members in self._bus.members.values():
                for member in [key for key in members if key.startswith(self._subscriber.origin)]:
                    del members[member]

    async def open(self, room: str, history: int) -> list[bytes]:
        self._open.add(room)
        log = self._bus.logs.get(room)
        if log is None or not history:
            return []
        return list(log.messages)[-history:]

    async def shut(self, room: str) -> None:
        self._open.discard(room)

    def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
        bus = self._bus
        if kept:
            self._keep(room, payload)
        if len(bus.planes) > 1:
            for plane in list(bus.planes):
                if plane is not self and room in plane._open and plane._subscriber is not None:
                    plane.status.received += kept
                    plane._subscriber.receive(room, payload)
        self.status.published += kept

    def _keep(self, room: str, payload: bytes) -> None:
        logs, options, now = self._bus.logs, self._options, time.monotonic()
        log = logs.get(room)
        if log is None:
            log = logs[room] = _Log()
        log.messages.append(payload)
        log.size += len(payload)
        log.used = now
        while len(log.messages) > options.retain or (
            log.size > options.retain_bytes and len(log.messages) > 1
        ):
            log.size -= len(log.messages.popleft())
        logs.move_to_end(room)
        oldest = next(iter(logs))
        while len(logs) > options.rooms or logs[oldest].used < now - options.ttl:
            del logs[oldest]
            oldest = next(iter(logs))

    async def enter(self, room: str, member: str, info: bytes) -> None:
        self._bus.members.setdefault(room, {})[member] = info

    async def leave(self, room: str, member: str) -> None:
        members = self._bus.members.get(room, {})
        members.pop(member, None)
        if not members:
            self._bus.members.pop(room, None)

    async def members(self, room: str) -> dict[str, bytes]:
        return dict(self._bus.members.get(room, {}))
