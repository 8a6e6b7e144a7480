"""Messages that stand for values: sent and received as JSON or MessagePack."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar, overload

from wsext.errors import MessageError, RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.runtime.formats import NAMES, Format, decode, encode, encode_json

__all__ = ["Formatted"]

T = TypeVar("T")


class Formatted:
    """What a session sends and receives in a format."""

    __slots__ = ()

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message."""
        raise NotImplementedError

    def send(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Send a message."""
        raise NotImplementedError

    @overload
    async def receive_json(self, type: type[T]) -> T: ...

    @overload
    async def receive_json(self, type: Any = Any) -> Any: ...

    async def receive_json(self, type: Any = Any) -> Any:
        """The next message, decoded from JSON and checked against a type (msgspec).

        Raises:
            RemoteProtocolError: With 1007 if the message is not such JSON; left to the caller, it
                closes the session with that code.
            ConnectionClosed: As `receive`.
        """
        return self._decoded(await self.receive(), type, "json")

    @overload
    async def receive_msgpack(self, type: type[T]) -> T: ...

    @overload
    async def receive_msgpack(self, type: Any = Any) -> Any: ...

    async def receive_msgpack(self, type: Any = Any) -> Any:
        """The next message, decoded from MessagePack and checked against a type (msgspec).

        Raises:
            RemoteProtocolError: As `receive_json`; also for a text message.
            ConnectionClosed: As `receive`.
        """
        return self._decoded(await self.receive(), type, "msgpack")

    @staticmethod
    def _decoded(data: str | bytes, type: Any, format: Format) -> Any:
        try:
            return decode(data, type, format)
        except MessageError as error:
            name = NAMES[format]
            raise RemoteProtocolError(
                CloseCode.INVALID_DATA, f"message is not the {name} that was expected"
            ) from error

    async def send_json(
        self,
        value: Any,
        *,
        text: bool = True,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a value as JSON (msgspec), in a text message or a binary one.

        Raises:
            ConnectionClosed: As `send`.
            TypeError: If the value cannot be encoded.
        """
        await self.send(encode_json(value, text), hints=hints, meta=meta)

    async def send_msgpack(
        self,
        value: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a value as MessagePack (msgspec), in a binary message.

        Raises:
            ConnectionClosed: As `send`.
            TypeError: If the value cannot be encoded.
        """
        await self.send(encode(value, "msgpack"), hints=hints, meta=meta)
