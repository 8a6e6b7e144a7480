"""How everybody in a room is spoken to, through the room itself or through a membership in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from wsext.protocol.frames import Data
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence
from wsext.runtime.session import Session

__all__ = ["Audience"]

#: Who is left out of a broadcast: sessions, presences, or their ids.
Who: TypeAlias = "Session | Presence | str"


class Audience:
    """The members of a room in all processes."""

    def __init__(self, hub: RoomHub, room: str) -> None:
        self._hub = hub
        self._room_name = room

    async def broadcast(
        self,
        data: Data | PreparedMessage,
        *,
        exclude: Who | Iterable[Who] = (),
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a message to everybody in the room, in this process and others.

        Slow members are waited for by nobody: what waits for them is bounded, and the policy
        decides (see `RoomOptions`). This waits only while the broker of the backplane is connected
        and takes messages slower than they are said, and after many copies lets other sessions have
        their turn.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one.
            exclude: Sessions, `Presence` objects or their ids that do not get it.
            key: With the policy ``coalesce``, replaces what waits with the same key.
            hints: For the extensions, as in `Session.send`.
            meta: Metadata beside the message, as in `Session.send`.

        Raises:
            TypeError: If the data is of another type, or hints or metadata cannot be encoded.
            ValueError: If the message is larger than the broker takes.
        """
        self.broadcast_nowait(data, exclude=exclude, key=key, hints=hints, meta=meta)
        await self._hub.wait_sent()

    def broadcast_nowait(
        self,
        data: Data | PreparedMessage,
        *,
        exclude: Who | Iterable[Who] = (),
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """`broadcast` without waiting for anything.

        Raises:
            TypeError, ValueError: As `broadcast`.
        """
        if not isinstance(data, PreparedMessage):
            data = PreparedMessage(data, hints=hints, meta=meta)
        if isinstance(exclude, (Session, Presence, str)):
            exclude = (exclude,)
        self._hub.say(self._room_name, data, key, frozenset(map(self._id, exclude)))

    def _id(self, who: Who) -> str:
        if isinstance(who, Session):
            return self._hub.member_id(who)
        return who.id if isinstance(who, Presence) else who

    async def presence(self) -> list[Presence]:
        """Who is in the room, over all processes; while the broker is away, in this one."""
        return await self._hub.presence(self._room_name)
