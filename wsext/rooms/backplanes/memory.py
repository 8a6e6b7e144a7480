"""The backplane of one process: nobody else to reach, and the last messages of rooms kept.

``memory://NAME`` connects the apps of one process that use the same name; ``memory://`` is an app's
own.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from wsext.rooms.backplanes.contract import Backplane, Subscriber
from wsext.rooms.backplanes.kept import Bounds, KeptMessages
from wsext.rooms.backplanes.options import MemoryOptions, take_options

__all__ = ["MemoryBackplane"]


class _Bus:
    """What the apps on one name share."""

    def __init__(self) -> None:
        self.planes: list[MemoryBackplane] = []
        self.kept: KeptMessages[bytes] = KeptMessages(len)
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
        return self._bus.kept.last(room, history)

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
        options = self._options
        wanted = [options.retain if p.history is None else p.history for p in self._bus.planes]
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
