"""What is stored of a message: its payload, and which process or publisher it comes from."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["DECODER", "Envelope", "record_id", "seal"]

#: Origin, number and payload. An origin's numbers only grow in the log's order; 0 is no number.
Envelope: TypeAlias = tuple[
    Annotated[str, Meta(min_length=1, max_length=64)], Annotated[int, Meta(ge=0)], bytes
]
_encode = msgspec.msgpack.Encoder().encode

#: Reads what `seal` makes; with `Faults.read`, for others may write to the broker, too.
DECODER = msgspec.msgpack.Decoder(Envelope)


def seal(origin: str, number: int, payload: bytes) -> bytes:
    """The bytes to store."""
    return _encode((origin, number, payload))


def record_id(publisher: str, id: str | int) -> str:
    """By what a repetition is known, in a room.

    Args:
        publisher: Whose id it is.
        id: Its id of the message.
    """
    return f"{publisher}|{id}"
