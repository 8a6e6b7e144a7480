"""What processes tell each other about rooms, as MessagePack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.heard import RoomMessage
from wsext.rooms.presence import Presence
from wsext.runtime.prepared_value import PreparedValue

__all__ = ["NOTES", "Back", "Came", "Note", "Said", "Went", "encode", "read_members", "read_said"]


class Said(msgspec.Struct, array_like=True, tag="m", omit_defaults=True):
    """A broadcast, on its way to another process or kept for later."""

    data: Any  # str or bytes, as msgpack tells them apart; msgspec has no such union
    key: str | int | None = None
    left_out: list[str] = []
    hints: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    id: str | None = None
    packed: bytes | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, (str, bytes)):
            raise ValueError("expected text or bytes")

    @classmethod
    def of(
        cls,
        said: PreparedMessage | PreparedValue,
        key: str | int | None = None,
        left_out: Collection[str] = (),
        id: str | None = None,
    ) -> Said:
        """How a message is told to others."""
        message = said.json if isinstance(said, PreparedValue) else said
        packed = said.msgpack.data if isinstance(said, PreparedValue) else None
        hints, meta = message.hints, message.meta
        return cls(
            message.data,
            key,
            sorted(left_out),
            None if hints is None else dict(hints),
            None if meta is None else dict(meta),
            id,
            cast("bytes | None", packed),
        )

    def at(self, position: Position | None) -> RoomMessage:
        """With its position."""
        return RoomMessage(
            self.data, position, self.id, self.key, self.hints, self.meta, self.packed
        )

    @property
    def message(self) -> PreparedMessage | PreparedValue:
        """What members get."""
        return self.at(None).prepared


class Came(msgspec.Struct, array_like=True, tag="+"):
    """Somebody has joined."""

    member: Presence


class Went(msgspec.Struct, array_like=True, tag="-"):
    """Somebody has left."""

    member: Presence


class Back(msgspec.Struct, array_like=True, tag="?"):
    """A process has been away, so that what others know of its members may be wrong."""


Note: TypeAlias = Said | Came | Went | Back


def _refuse(code: int, data: memoryview) -> Any:
    raise msgspec.ValidationError("no process of wsext sends types of its own")


encode = msgspec.msgpack.Encoder().encode

#: Read what comes from a broker: with `Faults.read`.
NOTES: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note, ext_hook=_refuse)
_MEMBERS = msgspec.msgpack.Decoder(Presence, ext_hook=_refuse)


def read_said(
    faults: Faults, room: str, position: Position | None, payload: bytes
) -> RoomMessage | None:
    """What was said, if it was something and can be read."""
    note = faults.read("the content of a message", room, NOTES, payload)
    if not isinstance(note, Said):
        return None
    return note.at(position)


def read_members(faults: Faults, room: str, found: Mapping[str, bytes]) -> list[Presence]:
    """Who is in a room, sorted by id; what cannot be read is left out and counted.

    Args:
        faults: Reads and counts.
        room: The room.
        found: What the broker has of each member, by id.
    """
    members = []
    for id, info in sorted(found.items()):
        member = faults.read("a member", room, _MEMBERS, info)
        if member is not None and member.id != id:
            faults.add("a member", room, "its id is another's")
        elif member is not None:
            members.append(member)
    return members
