"""Who of this process is in which room, and what the broker knows of it."""

from __future__ import annotations

import asyncio

from wsext.rooms.backplanes.broker import Broker

__all__ = ["Roster"]


class Roster:
    """Brings the broker's list of this process's members up to date, one change after another.

    Args:
        broker: Who keeps the list.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._here: dict[tuple[str, str], bytes] = {}
        self._placed: set[tuple[str, str]] = set()
        self._changed: set[tuple[str, str]] = set()
        self._lock = asyncio.Lock()

    def put(self, room: str, member: str, info: bytes | None) -> None:
        """A member has come, or with ``None`` gone; `flush` tells the broker."""
        key = (room, member)
        if info is not None:
            self._here[key] = info
        else:
            self._here.pop(key, None)
        if info is not None or key in self._placed:
            self._changed.add(key)
        else:
            self._changed.discard(key)

    def change_all(self) -> None:
        """Have everything told again."""
        self._changed = self._placed | self._here.keys()

    def clear(self) -> None:
        """Everybody is gone."""
        for room, member in list(self._here):
            self.put(room, member, None)

    async def flush(self) -> None:
        """Tell the broker what has changed; raises what it raises."""
        async with self._lock:  # a change must not overtake an earlier one of the same member
            keys, self._changed = self._changed, set()
            if not keys:
                return
            self._placed |= keys
            try:
                await self._broker.put_members([(*key, self._here.get(key)) for key in keys])
            except BaseException:  # whoever flushed may have been cancelled: others' changes remain
                self._changed |= keys
                raise
            self._placed -= {key for key in keys if key not in self._here}
