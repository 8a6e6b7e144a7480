"""The session: one WebSocket as an application sees it, the same on server and client.

What it has to do with connections and their ends is in `wsext.runtime.life`, how it sends in
`wsext.runtime.writing`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from wsext.errors import CloseInfo
from wsext.protocol.agreement import Agreed, Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.contract import Trace
from wsext.protocol.frames import Frame
from wsext.protocol.headers import hide_values
from wsext.protocol.http import Headers, Request
from wsext.runtime.channels import Incoming, Outgoing
from wsext.runtime.formats import Format
from wsext.runtime.formatted import Formatted
from wsext.runtime.life import Life
from wsext.runtime.outcome import Outcome
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stats import Stats
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed, make_pipeline

__all__ = ["Session"]

T = TypeVar("T")

_ids = itertools.count(1)
_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
_RAISE: Any = object()


class Session(Formatted):
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
        "__dict__",  # for the application; there is none until it is used
        "__weakref__",
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
        Formatted.__init__(self, raw)
        self.id = f"s{next(_ids)}"
        self.name = self.id
        self.request = request
        self.path_params: Mapping[str, Any] = path_params or _NO_PARAMS
        self.subprotocol = subprotocol
        self.negotiation = negotiation or Negotiation()
        self.options = options
        self.format: Format = "json"
        self.response_headers: Headers | None = None
        self.fresh_start = False
        self._traces: tuple[Trace, ...] = ()
        connection = self._engine(role, installed)
        self._life: Life = Life(self, connection, options, installed, timers, outcome)

    def _engine(self, role: str, installed: Installed) -> Connection:
        """The engine of a connection for what was negotiated."""
        options = self.options
        pipeline = make_pipeline(self.negotiation, options.max_message_size, self.id)
        installed.set_frame_hooks(self, pipeline)
        return Connection(
            role,
            pipeline,
            max_message_size=options.max_message_size,
            max_frame_size=options.max_frame_size,
            raw=self._raw,
        )

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

    def _forget_secrets(self) -> None:
        """The handshake is over, and nobody needs its secret parameters any more."""
        secrets = self.negotiation.forget_secrets()
        if secrets:
            self.request.hide(secrets)
            if self.response_headers is not None:
                hide_values(self.response_headers, secrets)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in vars(cls):
            if name == "_deliver" or (name[:1] == "_" != name[-1:] and hasattr(Session, name)):
                # The compiled path calls some of them in C, and would not see another one.
                raise TypeError(f"{cls.__name__}.{name}: private methods cannot be overridden")

    # --- what was agreed ----------------------------------------------------------------------

    @cached_property
    def state(self) -> dict[str, Any]:
        """A dictionary for the application."""
        return {}

    @property
    def identity(self) -> Any:
        """Who the peer is: what a guard has put into ``request.identity``; ``None`` by default."""
        return self.request.identity

    @property
    def expires(self) -> float | None:
        """When the identity expires, in Unix time; then the session ends with 1008. ``None``:
        never."""
        return self.request.expires

    def renew(self, identity: Any, *, expires: float | None) -> None:
        """Go on for longer, because the peer has shown again who it is, by a message for example.

        Args:
            identity: Who it is. It has to be equal to the session's identity, as when a session is
                resumed, and takes its place.
            expires: When that expires, in Unix time; ``None``: never.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            RemoteProtocolError: With 1008, if it is another identity, or one that has expired. A
                handler that does not catch it ends the session with that code.
            TypeError: If ``expires`` is not a number.
        """
        self._life.renew(identity, expires)

    @property
    def role(self) -> str:
        """``"server"`` or ``"client"``: whose side this is."""
        return self._connection.role

    @property
    def extensions(self) -> tuple[Agreed, ...]:
        """The extensions in use, in the order of the response."""
        return self.negotiation.agreed

    def extension(self, kind: type | str, default: Any = _RAISE) -> Any:
        """The extension of this class or token that is in use, as an `Agreed`.

        Args:
            kind: The class or the token.
            default: What is returned when it is not in use, instead of an error.

        Raises:
            LookupError: If it is not in use; `negotiation` has the reason.
        """
        for agreed in self.negotiation.agreed:
            if agreed.name == kind or (
                isinstance(kind, type) and isinstance(agreed.extension, kind)
            ):
                return agreed
        if default is not _RAISE:
            return default
        name = kind if isinstance(kind, str) else getattr(kind, "name", kind.__name__)
        raise LookupError(f"extension {name!r} is not in use on this session")

    # --- receiving ----------------------------------------------------------------------------

    async def receive_stream(self) -> AsyncIterator[str | bytes]:
        """The next message piece by piece, as its fragments come.

        Leaving the loop early leaves the rest of the message to the next receive.

        Raises:
            ConnectionClosed: As `receive`; also in the middle of the message.
        """
        self._connection.streaming = True
        try:
            while True:
                item = await self.receive_message()
                if item.fin:
                    self._connection.streaming = False
                yield item.data
                if item.fin:
                    return
        finally:
            self._connection.streaming = False

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

    async def send_frame(self, frame: Frame) -> None:
        """Send one frame: a fragment, a control frame, or on a raw session whatever it is.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            LocalProtocolError: If the frame may not be sent now (RFC 6455 §5.4, §5.5).
        """
        await self._life.writer.send_frame(frame)

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent and that the operating system has not taken yet."""
        return self._life.waiting_bytes

    async def flush(self) -> None:
        """Wait until everything sent so far is with the operating system.

        This says nothing about the peer: use `ping` to know that it has read it.
        """
        await self._life.writer.flush()

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

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong; ``None`` before the first."""
        return self._life.link.latency

    # --- the end ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._life.is_open

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

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended.

        It tells what has really travelled: a Close frame that could not leave is not in it.
        """
        return self._life.close_info

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

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close the session without waiting for the peer.

        Raises:
            ValueError: If the code may not be sent.
        """
        self._link.check_thread("session.close_nowait")
        self._life.close(code, reason)

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, for whatever reason."""
        return await self._life.wait_closed()

    def abort(self) -> None:
        """Drop the connection at once; the peer sees 1006. It cannot be resumed."""
        self._link.check_thread("session.abort")
        self._life.abort()

    # --- tasks --------------------------------------------------------------------------------

    def create_task(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine beside the handler.

        It is cancelled once the session has ended and the handler has returned. If it raises, the
        session ends as by a handler that raises: with 1011, or what `App.map_exception` says.
        """
        return self._life.create_task(work, name)

    def hold_reading(self, seconds: float) -> None:
        """Read nothing more from the peer for some time, so that TCP slows it down.

        What has been read already is delivered. A later call may only make it longer.
        """
        self._link.check_thread("session.hold_reading")
        self._life.link.hold_reading(seconds)

    # --- observing ----------------------------------------------------------------------------

    @property
    def stats(self) -> Stats:
        """Totals so far."""
        c = self._connection
        coded = bool(c.pipeline.stages)
        return Stats(
            c.messages_in,
            c.messages_out,
            c.app_bytes_in,
            c.app_bytes_out,
            c.wire_bytes_in if coded else c.app_bytes_in,
            c.wire_bytes_out if coded else c.app_bytes_out,
            self._inbox.dropped,
            self._life.dropped,
            len(self._inbox),
            c.frames_in,
        )

    def trace(self, callback: Trace | None) -> Callable[[], None]:
        """Be told of every frame at every stage of the pipeline: ``callback(direction, stage,
        frame)``. ``direction`` is ``"in"`` or ``"out"``; ``stage`` is ``"wire"``, ``"app"``, or the
        token of the extension that the frame comes out of.

        Several may be told; ``None`` ends all of them.

        Returns:
            What ends this trace.
        """
        self._traces = () if callback is None else (*self._traces, callback)
        self._set_trace()

        def end() -> None:
            self._traces = tuple(each for each in self._traces if each is not callback)
            self._set_trace()

        return end

    def _set_trace(self) -> None:
        traces = self._traces

        def tell_all(direction: str, stage: str, frame: Frame) -> None:
            for trace in traces:
                trace(direction, stage, frame)

        one = traces[0] if traces else None
        self._connection.pipeline.set_trace(tell_all if len(traces) > 1 else one)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.request.path} {self._connection.state.name}>"

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
