"""A value for many sessions: each gets it in its own format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsext.protocol.contexts import SharedContext
from wsext.protocol.prepared import PreparedMessage
from wsext.runtime.formats import Format, encode

__all__ = ["PreparedValue"]


class PreparedValue:
    """A value for many sessions: for `wsext.broadcast`, `Room.broadcast` and `Publisher.publish`.

    Each session gets it in its `Session.format`: as JSON in a text message, or as MessagePack in a
    binary one. It is encoded once for each format (msgspec), and each of the two is framed and
    compressed once for all that can share it, as a `PreparedMessage`.

    Args:
        value: What msgspec encodes: structs, dataclasses, dicts and so on.
        hints: For the extensions, as in `Session.send`.
        meta: Metadata beside the message, as in `Session.send`.

    Raises:
        TypeError: If the value cannot be encoded.
        OverflowError: For a whole number of more than 64 bits.

    Attributes:
        json: The message for those who take JSON.
        msgpack: The message for those who take MessagePack.
    """

    __slots__ = ("json", "msgpack")

    def __init__(
        self,
        value: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.json = PreparedMessage(encode(value, "json"), hints=hints, meta=meta)
        self.msgpack = PreparedMessage(encode(value, "msgpack"), hints=hints, meta=meta)

    @classmethod
    def of(cls, json: PreparedMessage, msgpack: PreparedMessage) -> PreparedValue:
        """One that was encoded before."""
        made = cls.__new__(cls)
        made.json, made.msgpack = json, msgpack
        return made

    def form(self, format: Format) -> PreparedMessage:
        """The message for those who take a format."""
        return self.msgpack if format == "msgpack" else self.json

    def within(self, context: SharedContext) -> PreparedValue:
        """The value as it is said in a context, which is that of the JSON."""
        return PreparedValue.of(self.json.within(context), self.msgpack)

    def __repr__(self) -> str:
        return f"<PreparedValue JSON {self.json.size}, MessagePack {self.msgpack.size} bytes>"
