"""What is the same in every session, whatever runs it: asyncio or trio."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from wsext.errors import CloseInfo
from wsext.protocol.agreement import Agreed, Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.contract import Trace
from wsext.protocol.frames import Frame, Message
from wsext.protocol.headers import hide_values
from wsext.protocol.http import Headers, Request
from wsext.runtime.formats import Format
from wsext.runtime.formatted import Formatted
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stats import Stats
from wsext.sdk.installed import Installed, make_pipeline

__all__ = ["Common"]

_ids = itertools.count(1)
_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
_RAISE: Any = object()


class Common(Formatted):
    """A session without what only its runtime can do: receive, send, and wait.

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

    # It has no slots of its own, so that the application can give a session what it likes.
    id: str
    name: str
    request: Request
    path_params: Mapping[str, Any]
    subprotocol: str | None
    negotiation: Negotiation
    options: WebSocketOptions
    format: Format
    response_headers: Headers | None

    _raw: bool
    _connection: Connection
    _inbox: Any  # what waits for the program
    _life: Any  # what leads the session from its beginning to its end
    _traces: tuple[Trace, ...]

    def _describe(
        self,
        request: Request,
        options: WebSocketOptions,
        negotiation: Negotiation | None,
        subprotocol: str | None,
        path_params: Mapping[str, Any] | None,
    ) -> None:
        """Take over what a handshake has decided."""
        self.name = self.id = f"s{next(_ids)}"
        self.request = request
        self.path_params = path_params or _NO_PARAMS
        self.subprotocol = subprotocol
        self.negotiation = negotiation or Negotiation()
        self.options = options
        self.format = "json"
        self.response_headers = None
        self._traces = ()

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

    def _forget_secrets(self) -> None:
        """The handshake is over, and nobody needs its secret parameters any more."""
        secrets = self.negotiation.forget_secrets()
        if secrets:
            self.request.hide(secrets)
            if self.response_headers is not None:
                hide_values(self.response_headers, secrets)

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

    # --- receiving and sending ----------------------------------------------------------------

    def receive_message(self) -> Coroutine[Any, Any, Message]:
        """The next message with its type and metadata.

        Raises:
            ConnectionClosed: As `receive`.
        """
        raise NotImplementedError

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

    def send_nowait(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a message without waiting."""
        raise NotImplementedError

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
        waiting: int = self._life.waiting_bytes
        return waiting

    async def flush(self) -> None:
        """Wait until everything sent so far is with the operating system.

        This says nothing about the peer: use `ping` to know that it has read it.
        """
        await self._life.writer.flush()

    # --- the end ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        is_open: bool = self._life.is_open
        return is_open

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended.

        It tells what has really travelled: a Close frame that could not leave is not in it.
        """
        info: CloseInfo = self._life.close_info
        return info

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close the session without waiting for the peer.

        Raises:
            ValueError: If the code may not be sent.
        """
        self._check_thread("session.close_nowait")
        self._life.close(code, reason)

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, for whatever reason."""
        info: CloseInfo = await self._life.wait_closed()
        return info

    def abort(self) -> None:
        """Drop the connection at once; the peer sees 1006. It cannot be resumed."""
        self._check_thread("session.abort")
        self._life.abort()

    # --- observing ----------------------------------------------------------------------------

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong; ``None`` before the first."""
        latency: float | None = self._life.link.latency
        return latency

    def hold_reading(self, seconds: float) -> None:
        """Read nothing more from the peer for some time, so that TCP slows it down.

        What has been read already is delivered. A later call may only make it longer.
        """
        self._check_thread("session.hold_reading")
        self._life.link.hold_reading(seconds)

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

    def _check_thread(self, call: str) -> None:
        """Refuse a call that would race with what runs the session, in another thread.

        Raises:
            RuntimeError: If it would; it says what to call.
        """
        self._life.link.check_thread(call)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.request.path} {self._connection.state.name}>"
