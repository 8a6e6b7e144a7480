"""The session: one WebSocket as a program on trio sees it, the same on server and client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import trio

from wsext.errors import ConnectionClosedOK
from wsext.protocol.agreement import Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.frames import Frame, Message
from wsext.protocol.http import Request
from wsext.runtime.common import Common
from wsext.runtime.inbox import as_frame
from wsext.runtime.outcome import Outcome
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.installed import Installed
from wsext.trio.life import TrioLife
from wsext.trio.waiting import Promise

__all__ = ["Session"]

Mapped = Mapping[str, Any] | None


class Session(Common):
    """One WebSocket on trio. Made by `serve` for its handler, or by `connect`.

    Attributes:
        id: A short text that is unique in this process.
        name: Free for the application; the id until it is set.
        request: The handshake request.
        path_params: What the route's converters took from the path.
        subprotocol: The subprotocol in use, or ``None``.
        negotiation: Every extension offer with its verdict, and what is in use.
        options: The options in force.
        format: How it gets a `PreparedValue`: ``"json"``, the default, or ``"msgpack"``. A
            `Dispatcher` sets it to its own.
        response_headers: Client: the headers of the server's response.
    """

    def __init__(
        self,
        role: str,
        request: Request,
        stream: trio.abc.Stream,
        *,
        options: WebSocketOptions,
        installed: Installed,
        negotiation: Negotiation | None = None,
        subprotocol: str | None = None,
        path_params: Mapping[str, Any] | None = None,
        raw: bool = False,
        outcome: Callable[[BaseException], Outcome] | None = None,
    ) -> None:
        self._raw = raw
        self._describe(request, options, negotiation, subprotocol, path_params)
        self._connection = connection = self._engine(role, installed)
        self._life: TrioLife = TrioLife(self, connection, stream, options, installed, outcome)
        self._inbox = self._life.inbox

    # --- receiving ----------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """The next message: ``str`` for text, ``bytes`` for binary.

        A cancelled `receive` takes no message: the next one gets it.

        Raises:
            ConnectionClosed: When the session has ended and nothing waits any more.
        """
        return (await self.receive_message()).data

    async def receive_message(self) -> Message:
        """The next message with its type and metadata.

        Raises:
            ConnectionClosed: As `receive`.
        """
        item = await self._inbox.take()
        if not isinstance(item, Message):
            raise RuntimeError("a raw session has frames, not messages: use receive_frame()")
        return item

    async def receive_frame(self) -> Frame:
        """The next frame: on a raw session as it came, otherwise a whole message as one frame.

        Raises:
            ConnectionClosed: As `receive`.
        """
        item = await self._inbox.take()
        return as_frame(item) if isinstance(item, Message) else item

    def __aiter__(self) -> Self:
        """Iterate over messages until the session ends; normal ends finish the loop silently."""
        return self

    async def __anext__(self) -> Any:
        try:
            item = await self._inbox.take()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None
        return item.data if isinstance(item, Message) else item

    # --- sending ------------------------------------------------------------------------------

    async def send(self, data: Any, *, hints: Mapped = None, meta: Mapped = None) -> None:
        """Send a message; waits while the peer reads too slowly.

        If it is cancelled while it waits, the message is either not sent at all, or it was on its
        way already and is sent whole: an extension's state never gets ahead of the peer's. A
        message in fragments (an asynchronous iterator) that is cancelled half way fails the
        connection, since nothing can take back its first part.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one, an asynchronous iterator
                of either one message in fragments, sent as they come.
            hints: For the extensions, for example ``{"compress": False}``; never sent.
            meta: Metadata beside the message, for extensions that carry some.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            TypeError: If the data is of another type.
        """
        await self._life.writer.send(data, hints, meta)

    def send_nowait(self, data: Any, *, hints: Mapped = None, meta: Mapped = None) -> None:
        """Send a message without waiting; when the peer is slow, the overflow policy decides.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            LocalProtocolError: If too much waits and the policy is ``close``: the session is
                closed with 1013.
            QueueFull: If too much waits and the policy is ``suspend``.
        """
        self._check_thread("session.send_nowait")
        self._life.writer.queue(data, hints, meta)

    async def ping(self, payload: bytes | None = None) -> float:
        """Send a ping and wait for its pong; the latency in seconds.

        Cancelling it gives up waiting; the ping has been sent.

        Args:
            payload: At most 125 bytes (RFC 6455 §5.5); by default a fresh number.

        Raises:
            ConnectionClosed: If the session ends before the pong comes.
            TypeError: If the payload is not bytes-like.
            ValueError: If it is too long, or a ping with it is under way.
        """
        if not self.is_open:
            raise self._life.closed_error()
        pong: Promise[float] = Promise()
        self._life.link.ping(payload, pong)
        return await pong.wait()

    # --- the end ------------------------------------------------------------------------------

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the session and wait for the peer, at most ``close_timeout`` seconds. Codecs whose
        `Codec.close` is asynchronous may take as long again.

        What was sent before leaves before the Close frame. A second close, or one after the peer's,
        only waits. Cancelling it gives up waiting; the closing handshake goes on.

        Args:
            code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999 (RFC 6455 §7.4).
            reason: At most 123 bytes of UTF-8; what is longer is cut.

        Raises:
            ValueError: If the code may not be sent.
        """
        self.close_nowait(code, reason)
        await self.wait_closed()

    def _forget(self) -> None:
        """The session has ended: let go of what refers to it."""
        if self._traces:
            self.trace(None)
        self.request.transport = None
