"""How everybody in a room is spoken to, through the room itself or through a membership in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from wsext.errors import PublishError, RoomError
from wsext.protocol.closing import CloseCode
from wsext.protocol.frames import Data
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.ports import Key, RoomHub
from wsext.rooms.presence import Presence
from wsext.runtime.formats import encode_json
from wsext.runtime.prepared_value import PreparedValue
from wsext.runtime.session import Session

__all__ = ["Audience", "Sayable"]

#: What can be said in a room.
Sayable: TypeAlias = "Data | PreparedMessage | PreparedValue"

#: Who is left out of a broadcast: sessions, presences, or their ids.
Who: TypeAlias = "Session | Presence | str"


class Audience:
    """The members of a room in all processes."""

    def __init__(self, hub: RoomHub, room: str) -> None:
        self._hub = hub
        self._room_name = room

    async def broadcast(
        self,
        data: Sayable,
        *,
        exclude: Who | Iterable[Who] = (),
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Position | None:
        """Send a message to everybody in the room, in this process and others.

        Slow members are waited for by nobody: what waits for them is bounded, and the policy
        decides (see `RoomOptions`). This waits only while the broker of the backplane is connected
        and takes messages slower than they are said, and after many copies lets other sessions have
        their turn. With `RoomOptions.recovery` it waits until the broker has the message.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one. A `PreparedValue` becomes
                for each member what its `Session.format` says.
            exclude: Sessions, `Presence` objects or their ids that do not get it.
            key: With the policy ``coalesce``, replaces what waits with the same key.
            hints: For the extensions, as in `Session.send`.
            meta: Metadata beside the message, as in `Session.send`.
            id: Names the message in this room; 1 to 64 bytes of UTF-8. If it was broadcast before
                with the same id, by any process of the app, nobody gets it again, and the position
                is that of the first. The broker remembers ids for a while. Needs
                `RoomOptions.recovery`.

        Returns:
            The message's position with `RoomOptions.recovery`, and ``None`` without.

        Raises:
            TypeError: If the data is of another type, or hints or metadata cannot be encoded.
            ValueError: If the message is larger than the broker takes.
            OptionError: If there is an id and rooms have no `RoomOptions.recovery`.
            RoomError: With recovery, if the message is given up because the broker is away for too
                long or too much waits. Some may get it: say it again with the same id.
        """
        said = self._say(data, exclude, key, hints, meta, id)
        await self._hub.wait_sent()
        if said is None:
            return None
        try:
            return await said
        except PublishError as error:
            away = "the message was given up"
            raise RoomError(away, CloseCode.TRY_AGAIN_LATER, str(error)) from error

    async def broadcast_json(
        self,
        value: Any,
        *,
        text: bool = True,
        exclude: Who | Iterable[Who] = (),
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Position | None:
        """`broadcast` a value as JSON (msgspec), in a text message or a binary one.

        Everybody gets JSON. `broadcast` a `PreparedValue`, and each member gets its own format.

        Raises:
            TypeError: If the value cannot be encoded.
            ValueError, OptionError, RoomError: As `broadcast`.
        """
        data = encode_json(value, text)
        return await self.broadcast(data, exclude=exclude, key=key, hints=hints, meta=meta, id=id)

    def broadcast_nowait(
        self,
        data: Sayable,
        *,
        exclude: Who | Iterable[Who] = (),
        key: Key | None = None,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> None:
        """`broadcast` without waiting for anything. With `RoomOptions.recovery`, a message that is
        given up is only counted: ``dropped`` in `Hub.status`.

        Raises:
            TypeError, ValueError, OptionError: As `broadcast`.
        """
        self._say(data, exclude, key, hints, meta, id)

    def _say(
        self,
        data: Sayable,
        exclude: Who | Iterable[Who],
        key: Key | None,
        hints: Mapping[str, Any] | None,
        meta: Mapping[str, Any] | None,
        id: str | None,
    ) -> asyncio.Future[Position] | None:
        self._hub.check_thread("room.broadcast_nowait")
        if not isinstance(data, (PreparedMessage, PreparedValue)):
            data = PreparedMessage(data, hints=hints, meta=meta)
        if isinstance(exclude, (Session, Presence, str)):
            exclude = (exclude,)
        return self._hub.say(self._room_name, data, key, frozenset(map(self._id, exclude)), id)

    def _id(self, who: Who) -> str:
        if isinstance(who, Session):
            return self._hub.member_id(who)
        return who.id if isinstance(who, Presence) else who

    async def presence(self) -> list[Presence]:
        """Who is in the room, over all processes; while the broker is away, in this one."""
        return await self._hub.presence(self._room_name)
