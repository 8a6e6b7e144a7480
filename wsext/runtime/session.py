"""The session: one WebSocket as an application sees it, the same on server and client.

What it has to do with connections and their ends is in `wsext.runtime.life`, how it sends in
`wsext.runtime.writing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any, TypeVar

from wsext.protocol.agreement import Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.http import Request
from wsext.runtime.channels import Incoming, Outgoing
from wsext.runtime.common import Common
from wsext.runtime.life import Life
from wsext.runtime.outcome import Outcome
from wsext.runtime.session_path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed

__all__ = ["Session"]

T = TypeVar("T")


class Session(SessionPath, Common):
    """One WebSocket. Made by a server for its handler, or by `connect`.

    Attributes:
        id: A short text that is unique in this process.
        name: Free for the application; the id until it is set.
        request: The handshake request.
        path_params: What the route's converters took from the path.
        subprotocol: The subprotocol in use, or ``None``.
        negotiation: Every extension offer with its verdict, and what is in use.
        options: The options in force.
        format: How it gets a `PreparedValue`: ``"json"``, the default, or ``"msgpack"``. Set it
            before the session joins a room. A `Dispatcher` sets it to its own.
        response_headers: Client: the headers of the server's response.
        fresh_start: Client: whether it takes the place of a session that has ended; in `async for`
            of `connect`, each but the first.
    """

    __slots__ = (
        "_traces",
        "format",
        "fresh_start",
        "id",
        "name",
        "negotiation",
        "options",
        "path_params",
        "request",
        "response_headers",
        "subprotocol",
    )

    def __init__(
        self,
        role: str,
        request: Request,
        *,
        options: WebSocketOptions,
        installed: Installed,
        negotiation: Negotiation | None = None,
        subprotocol: str | None = None,
        path_params: Mapping[str, Any] | None = None,
        raw: bool = False,
        timers: Timers | None = None,
        outcome: Callable[[BaseException], Outcome] | None = None,
    ) -> None:
        SessionPath.__init__(self, raw)
        self._describe(request, options, negotiation, subprotocol, path_params)
        self.fresh_start = False
        connection = self._engine(role, installed)
        self._life: Life = Life(self, connection, options, installed, timers, outcome)

    def _renew(
        self, request: Request, negotiation: Negotiation, installed: Installed
    ) -> Connection:
        """Take over what another handshake has decided; the engine of its connection."""
        self.request.transport = None
        self.request = request
        self.negotiation = negotiation
        connection = self._engine(self.role, installed)
        self._connection = connection
        self._set_trace()
        self._forget_secrets()
        return connection

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in vars(cls):
            if name == "_deliver" or (name[:1] == "_" != name[-1:] and hasattr(Session, name)):
                # The compiled path calls some of them in C, and would not see another one.
                raise TypeError(f"{cls.__name__}.{name}: private methods cannot be overridden")

    # --- receiving ----------------------------------------------------------------------------

    @cached_property
    def incoming(self) -> Incoming:
        """Received frames as a channel."""
        return Incoming(self)

    @cached_property
    def outgoing(self) -> Outgoing:
        """Frames to send as a channel."""
        return Outgoing(self)

    # --- sending ------------------------------------------------------------------------------

    def _send_slowly(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> Coroutine[Any, Any, None]:
        self._link.check_thread("session.send_nowait")
        return self._life.writer.send(data, hints, meta)

    def _queue(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        self._link.check_thread("session.send_nowait")
        self._life.writer.queue(data, hints, meta)

    # --- pings --------------------------------------------------------------------------------

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
        self._link.check_thread("session.ping")
        if not self.is_open:
            raise self._life.closed_error()
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._life.link.ping(payload, waiter)
        try:
            return await waiter
        finally:
            del waiter  # it has the error, whose traceback has this frame

    # --- the end ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the session has a connection just now; one that can be resumed may have none."""
        return self._life.is_connected

    @property
    def resumptions(self) -> int:
        """How often the session has gone on with another connection."""
        return self._life.resumptions

    @property
    def unconfirmed(self) -> list[str | bytes]:
        """Messages that were sent and that the peer's program has not taken, as far as is known;
        empty where the session could not be resumed anyway.

        Once the session has ended, nobody knows of these whether they were handled.
        """
        return self._life.unconfirmed

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
        await self._life.wait_closed()
        await self._life.wait_freed()

    # --- tasks --------------------------------------------------------------------------------

    def create_task(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine beside the handler.

        It is cancelled once the session has ended and the handler has returned. If it raises, the
        session ends as by a handler that raises: with 1011, or what `App.map_exception` says.
        """
        return self._life.create_task(work, name)

    # --- what the path asks for ---------------------------------------------------------------

    def _listener_is_ahead(self) -> None:
        self._life.wait_for_listener()

    def _listener_failed(self, error: BaseException) -> None:
        self._life.end_with(error, "listener")

    def _overflow(self) -> None:
        self._life.overflow()

    def _forget(self) -> None:
        """The session has ended: let go of what refers to it."""
        if self._traces:
            self.trace(None)
        self.__dict__.pop("incoming", None)
        self.__dict__.pop("outgoing", None)
        self.request.transport = None
