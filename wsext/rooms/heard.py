"""What is heard in a room: a message with its position, or that some are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from wsext.protocol.contexts import SharedContext
from wsext.protocol.prepared import PreparedMessage
from wsext.rooms.backplanes.positions import Position
from wsext.runtime.formats import Format
from wsext.runtime.prepared_value import PreparedValue

__all__ = ["Heard", "Missed", "RoomMessage", "Stamp", "stamped"]


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """A message of a room, as `RoomOptions.stamp` and `Publisher.history` have it.

    Attributes:
        data: What was broadcast.
        position: Where it stands in the room; ``None`` only if a plugin's backplane cannot tell.
        id: The ``id`` that it was broadcast with, if any.
        key: Its ``key``, if any.
        hints: For the extensions.
        meta: Metadata beside it.
        packed: Of a `PreparedValue`, the MessagePack; ``data`` is the JSON then.
    """

    data: str | bytes
    position: Position | None
    id: str | None = None
    key: str | int | None = None
    hints: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    packed: bytes | None = None

    @property
    def prepared(self) -> PreparedMessage | PreparedValue:
        """What members get of it without a stamp."""
        message = PreparedMessage(self.data, hints=self.hints, meta=self.meta)
        if self.packed is None:
            return message
        packed = PreparedMessage(self.packed, hints=self.hints, meta=self.meta)
        return PreparedValue.of(message, packed)


@dataclass(frozen=True, slots=True)
class Missed:
    """Some messages of a room will never reach a member.

    Attributes:
        reason: ``"epoch"``: the room's log began anew, or lost its end. ``"ahead"``: the position
            is of a message that the broker does not have. ``"expired"``: the broker keeps it no
            longer. ``"too-much"``: more than `RoomOptions` lets a member catch up. ``"away"``: the
            broker did not answer. ``"stamp"``: `RoomOptions.stamp` failed.
        since: The position after which messages are missing; ``None`` if it is not known.
        position: The position from which on nothing is missing again; ``None`` if it is not known.
    """

    reason: str
    since: Position | None
    position: Position | None


class Heard(NamedTuple):
    """A message as members get it.

    Attributes:
        message: What they get.
        packed: What those get who take MessagePack, if that is another message.
        key: What it replaces, with the policy ``coalesce``.
        left_out: Ids of the members that do not get it.
        position: Where it stands in the room, if that is known.
        after: The position after which it was heard: between the two there is no other message.
    """

    message: PreparedMessage
    packed: PreparedMessage | None = None
    key: str | int | None = None
    left_out: frozenset[str] = frozenset()
    position: Position | None = None
    after: Position | None = None

    @classmethod
    def of(cls, said: PreparedMessage | PreparedValue, **more: Any) -> Heard:
        """What members get of something that was said."""
        if isinstance(said, PreparedValue):
            return cls(said.json, said.msgpack, **more)
        return cls(said, **more)

    def form(self, format: Format) -> PreparedMessage:
        """What a member gets who takes a format."""
        return self.packed if self.packed is not None and format == "msgpack" else self.message

    def within(self, context: SharedContext, packed_context: SharedContext | None) -> Heard:
        """As it is said in the context of those who take JSON, and in that of those who take
        MessagePack, if there are any."""
        packed = self.packed
        if packed_context is not None:
            packed = self.form("msgpack").within(packed_context)
        return self._replace(message=self.message.within(context), packed=packed)

    @property
    def held_bytes(self) -> int:
        """Bytes of the message and of its encodings."""
        return self.message.held_bytes + (self.packed.held_bytes if self.packed else 0)


#: Makes what members get of a message.
Stamp: TypeAlias = Callable[[RoomMessage], str | bytes | PreparedMessage | PreparedValue]


def stamped(message: RoomMessage, stamp: Stamp | None) -> PreparedMessage | PreparedValue:
    """What members get of a message.

    Args:
        message: The message.
        stamp: `RoomOptions.stamp`.

    Raises:
        Exception: What the stamp raises.
    """
    made = message.prepared if stamp is None else stamp(message)
    if isinstance(made, (PreparedMessage, PreparedValue)):
        return made
    return PreparedMessage(made, hints=message.hints, meta=message.meta)
