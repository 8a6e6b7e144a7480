"""A session's frames as two channels, for code that is written around channels."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from wsext.errors import ConnectionClosedOK
from wsext.protocol.frames import Frame

__all__ = ["Incoming", "Outgoing"]


class HasFrames(Protocol):
    """What a channel needs of its session."""

    def receive_frame(self) -> Coroutine[Any, Any, Frame]: ...
    def send(self, data: Any, *, hints: Any = None, meta: Any = None) -> Any: ...
    async def send_frame(self, frame: Frame) -> None: ...


class Incoming:
    """The received frames of a session, bounded by ``incoming_capacity`` and ``incoming_bytes``.

    What happens when the bounds are passed is ``incoming_overflow``: ``suspend`` stops reading,
    ``close`` closes the session with 1013, ``drop-oldest`` drops.
    """

    def __init__(self, session: HasFrames) -> None:
        self._session = session

    async def receive(self) -> Frame:
        """The next frame.

        Raises:
            ConnectionClosed: When the session has ended and nothing waits any more.
        """
        return await self._session.receive_frame()

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self._session.receive_frame()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None


class Outgoing:
    """The frames that a session sends, bounded by ``outgoing_bytes``.

    What happens when the bound is passed is ``outgoing_overflow``: ``suspend`` makes `send` wait,
    ``close`` closes the session with 1013, ``drop-oldest`` drops messages that wait.
    """

    def __init__(self, session: HasFrames) -> None:
        self._session = session

    async def send(self, frame: Frame) -> None:
        """Send a frame; a whole data frame goes by the overflow policy.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
        """
        if frame.opcode in (1, 2) and frame.fin and not frame.rsv:
            payload = bytes(frame.payload)
            data = payload.decode("utf-8") if frame.opcode == 1 else payload
            await self._session.send(data, hints=frame.hints, meta=frame.meta)
        else:
            await self._session.send_frame(frame)
