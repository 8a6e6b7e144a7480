"""The session: one WebSocket as an application sees it, the same on server and client."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LocalProtocolError,
    MessageError,
    ProtocolError,
    RemoteProtocolError,
)
from wsext.protocol.agreement import Agreed, Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import Opcode
from wsext.protocol.connection import Connection
from wsext.protocol.contract import Trace
from wsext.protocol.frames import Data, Frame
from wsext.protocol.http import Headers, Request
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import State
from wsext.protocol.wire import to_payload
from wsext.runtime.channels import Incoming, Outgoing
from wsext.runtime.formats import NAMES, Format, decode, encode
from wsext.runtime.inbox import Inbox
from wsext.runtime.link import Link
from wsext.runtime.path import SessionPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed, make_pipeline

__all__ = ["Listener", "Progress", "Session", "Stats"]

logger = logging.getLogger("wsext.session")

T = TypeVar("T")

_ids = itertools.count(1)
_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals of a session's data messages; sizes are payload bytes.

    Attributes:
        messages_in, messages_out: Whole messages.
        app_bytes_in, app_bytes_out: As the application sees them.
        wire_bytes_in, wire_bytes_out: As they travel, encoded by the agreed extensions.
        dropped_in, dropped_out: Messages dropped by the overflow policy ``drop-oldest``.
    """

    messages_in: int
    messages_out: int
    app_bytes_in: int
    app_bytes_out: int
    wire_bytes_in: int
    wire_bytes_out: int
    dropped_in: int
    dropped_out: int


class Progress(NamedTuple):
    """What a session has done so far, for who watches over its limits.

    Attributes:
        messages: Whole messages received.
        pings: Pings received.
        waiting: Bytes that wait for the peer to read while nothing more is written; else 0.
        resumed: How often the peer has made room for more to be written.
    """

    messages: int
    pings: int
    waiting: int
    resumed: int


class Listener:
    """Callback-style handler, the fastest path: no task and no queue between wire and code.

    Register a subclass like a coroutine: ``@app.websocket("/echo")`` above the class. One instance
    is made per session. The methods are plain functions; they must not block. Send with
    `Session.send_nowait`.
    """

    def on_open(self, session: Session) -> None:
        """The session has opened."""

    def on_message(self, session: Session, message: str | bytes) -> None:
        """A message has come."""

    def on_close(self, session: Session, info: CloseInfo) -> None:
        """The session has ended."""


class Session(SessionPath):
    """One WebSocket. Made by a server for its handler, or by `connect`.

    Attributes:
        id: A short text that is unique in this process.
        name: Free for the application; the id until it is set.
        request: The handshake request.
        path_params: What the route's converters took from the path.
        subprotocol: The subprotocol in use, or ``None``.
        negotiation: Every extension offer with its verdict, and what is in use.
        options: The options in force.
    """

    __slots__ = (
        "__dict__",  # for the application; there is none until it is used
        "__weakref__",
        "_info",
        "_installed",
        "_listener",
        "_on_close",
        "_resuming",
        "_tasks",
        "_traces",
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
    ) -> None:
        self.id = f"s{next(_ids)}"
        self.name = self.id
        self.request = request
        self.path_params: Mapping[str, Any] = path_params or _NO_PARAMS
        self.subprotocol = subprotocol
        self.negotiation = negotiation or Negotiation()
        self.options = options
        self._installed = installed
        pipeline = make_pipeline(self.negotiation, options.max_message_size)
        installed.set_frame_hooks(self, pipeline)
        connection = Connection(
            role,
            pipeline,
            max_message_size=options.max_message_size,
            max_frame_size=options.max_frame_size,
            raw=raw,
        )
        SessionPath.__init__(self, connection)
        self._link: Link = Link(connection, options, self, timers)
        self._inbox = Inbox(
            options.incoming_capacity,
            options.incoming_bytes,
            self._link.resume_reading,
        )
        self._listener: Listener | None = None
        self._info: CloseInfo | None = None
        self._on_close: list[Callable[[CloseInfo], None]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        #: Client: the headers of the server's response.
        self.response_headers: Headers | None = None
        self._traces: tuple[Trace, ...] = ()
        self._resuming: asyncio.Task[None] | None = None

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
    def role(self) -> str:
        """``"server"`` or ``"client"``: whose side this is."""
        return self._connection.role

    @property
    def extensions(self) -> tuple[Agreed, ...]:
        """The extensions in use, in the order of the response."""
        return self.negotiation.agreed

    def extension_or_none(self, kind: type | str) -> Agreed | None:
        """The extension of this class or token, or ``None`` when it is not in use."""
        for agreed in self.negotiation.agreed:
            if agreed.name == kind or (
                isinstance(kind, type) and isinstance(agreed.extension, kind)
            ):
                return agreed
        return None

    def extension(self, kind: type | str) -> Agreed:
        """The extension of this class or token.

        Raises:
            LookupError: If it is not in use; `negotiation` has the reason.
        """
        agreed = self.extension_or_none(kind)
        if agreed is None:
            name = kind if isinstance(kind, str) else getattr(kind, "name", kind.__name__)
            raise LookupError(f"extension {name!r} is not in use on this session")
        return agreed

    # --- receiving ----------------------------------------------------------------------------

    @property
    def ends_quietly(self) -> bool:
        """Whether iterating ends silently whatever ended the session (reconnecting clients)."""
        return self._inbox.quiet

    @ends_quietly.setter
    def ends_quietly(self, quiet: bool) -> None:
        self._inbox.quiet = quiet

    async def receive_json(self, type: Any = Any) -> Any:
        """The next message, decoded from JSON and checked against a type (msgspec).

        Raises:
            RemoteProtocolError: With 1007 if the message is not such JSON; left to the caller, it
                closes the session with that code.
            ConnectionClosed: As `receive`.
        """
        return self._decoded(await self.receive(), type, "json")

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

    # --- sending ------------------------------------------------------------------------------

    async def send_slowly(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send what cannot be sent at once: a stream, or anything while the peer is slow."""
        if isinstance(data, PreparedMessage):
            await self._send_prepared(data)
            return
        if isinstance(data, AsyncIterable):
            await self._send_stream(data, hints, meta)
        elif not self._connection.is_open:
            raise self.closed_error()
        elif self._streaming is not None:
            async with self._streaming:
                await self._send_one(data, hints, meta)
        else:
            await self._send_one(data, hints, meta)

    async def _send_prepared(self, message: PreparedMessage) -> None:
        link = self._link
        if link.blocked and self.options.outgoing_overflow == "suspend":
            await link.drain()
        if not link.send_prepared(message):
            await self.send(message.data, hints=message.hints, meta=message.meta)

    async def _send_one(
        self, data: Data, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        link = self._link
        if link.blocked:
            if self.options.outgoing_overflow == "drop-oldest":
                link.queue(data, hints, meta)
                return
            if self.options.outgoing_overflow == "close":
                raise link.overflow()
            await link.drain()
        if not self._connection.is_open:
            raise self.closed_error()
        if link.is_async:
            opcode, payload = to_payload(data)
            await link.asend_frame(Frame(opcode, payload, True, 0, hints, meta))
        else:
            self._connection.send_message(data, hints, meta)
            link.soon()

    async def _send_stream(
        self,
        chunks: AsyncIterable[Data],
        hints: Mapping[str, Any] | None,
        meta: Mapping[str, Any] | None,
    ) -> None:
        if self._streaming is None:
            self._streaming = asyncio.Lock()
        async with self._streaming:
            opcode: int | None = None
            try:
                async for chunk in chunks:
                    kind, payload = to_payload(chunk)
                    if opcode is None:
                        opcode = kind
                        frame = Frame(kind, payload, False, 0, hints, meta)
                    elif kind != opcode:
                        raise TypeError("a streamed message is all text or all binary")
                    else:
                        frame = Frame(Opcode.CONTINUATION, payload, False)
                    await self._send_fragment(frame)
                if opcode is not None:
                    await self._send_fragment(Frame(Opcode.CONTINUATION, b"", True))
            except BaseException:
                if opcode is not None and self._connection.is_open:
                    # Half a message is out, and nothing can take it back.
                    self._link.fail(LocalProtocolError("message was not finished"))
                raise

    async def _send_fragment(self, frame: Frame) -> None:
        if self._link.blocked:
            await self._link.drain()
        if not self._connection.is_open:
            raise self.closed_error()
        await self._link.asend_frame(frame)

    def queue(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send by the overflow policy."""
        if isinstance(data, PreparedMessage):
            hints, meta, data = data.hints, data.meta, data.data
        self._link.queue(data, hints, meta)

    @property
    def try_send(self) -> Callable[[PreparedMessage], bool]:
        """``try_send(message)`` sends a prepared message if nothing waits and it can be shared
        here; otherwise it does nothing and returns ``False``.

        The fast path of a broadcast: one encoding for all, no waiting, no queue.
        """
        return self._link.send_prepared

    async def wait_writable(self) -> None:
        """Wait until the peer has read enough for more to be sent, or the session has ended."""
        await self._link.drain()

    async def send_frame(self, frame: Frame) -> None:
        """Send one frame: a fragment, a control frame, or on a raw session whatever it is.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            LocalProtocolError: If the frame may not be sent now (RFC 6455 §5.4, §5.5).
        """
        if self._link.blocked:
            await self._link.drain()
        if self._connection.ended or not (frame.is_control or self._connection.is_open):
            raise self.closed_error()
        await self._link.asend_frame(frame)

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
        data = encode(value, "json")
        await self.send(data if text else str(data).encode(), hints=hints, meta=meta)

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

    @cached_property
    def outgoing(self) -> Outgoing:
        """Frames to send as a channel."""
        return Outgoing(self)

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent and that the operating system has not taken yet."""
        return self._link.buffered

    async def flush(self) -> None:
        """Wait until everything sent so far is with the operating system.

        This says nothing about the peer: use `ping` to know that it has read it.
        """
        await self._link.flush()

    # --- pings --------------------------------------------------------------------------------

    async def ping(self, payload: bytes | None = None) -> float:
        """Send a ping and wait for its pong; the latency in seconds.

        Args:
            payload: At most 125 bytes; by default a fresh number.

        Raises:
            ConnectionClosed: If the session ends before the pong comes.
        """
        if not self._connection.is_open:
            raise self.closed_error()
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._link.ping(payload, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if self._info is not None and waiter.cancelled():
                raise self.closed_error() from None
            raise

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong; ``None`` before the first."""
        return self._link.latency

    # --- the end ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._connection.is_open

    @property
    def close_info(self) -> CloseInfo:
        """How the session stands, and once it has ended, how it ended."""
        return self._info or self._connection.close_info()

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the session and wait for the peer, at most ``close_timeout`` seconds.

        A second close, or one after the peer's, only waits.

        Args:
            code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999 (RFC 6455 §7.4).
            reason: At most 123 bytes of UTF-8; what is longer is cut.

        Raises:
            ValueError: If the code may not be sent.
        """
        if self._link.is_async:
            try:
                await asyncio.wait_for(self._link.settle(), self.options.close_timeout)
            except TimeoutError:
                logger.debug("session %s: an asynchronous codec did not finish", self.id)
        self.close_nowait(code, reason)
        await self.wait_closed()

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close the session without waiting for the peer.

        Raises:
            ValueError: If the code may not be sent.
        """
        self._link.send_close(code, reason)

    async def wait_closed(self) -> CloseInfo:
        """Wait until the session has ended, for whatever reason."""
        if self._info is not None:
            return self._info
        waiter: asyncio.Future[CloseInfo] = asyncio.get_running_loop().create_future()

        def wake(info: CloseInfo) -> None:
            if not waiter.done():
                waiter.set_result(info)

        self._on_close.append(wake)
        try:
            return await waiter
        finally:
            self.remove_close_callback(wake)

    def add_close_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have a function called once, when the session has ended; at once if it has."""
        if self._info is not None:
            callback(self._info)
        else:
            self._on_close.append(callback)

    def remove_close_callback(self, callback: Callable[[CloseInfo], None]) -> None:
        """Have it not called; nothing happens if it would not be."""
        if callback in self._on_close:
            self._on_close.remove(callback)

    def abort(self) -> None:
        """Drop the connection at once; the peer sees 1006."""
        self._link.abort()

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 §7.1.7): close with the error's code, and do not wait."""
        self._link.fail(error)

    def set_failure(self, error: BaseException) -> None:
        """Record what ends the session, for `close_info`; the first one stays."""
        self._connection.failure = self._connection.failure or error

    def end_raw(self) -> None:
        """End a raw session: what is written leaves, then the transport is closed."""
        self._link.close_transport()

    def closed_error(self) -> ConnectionClosed:
        """What is raised once the session has ended."""
        info = self.close_info
        planned = info.code in (1000, 1001, 1005) and info.exception is None
        return (ConnectionClosedOK if planned else ConnectionClosedError)(info)

    # --- tasks --------------------------------------------------------------------------------

    def create_task(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine beside the handler; it is cancelled when the session's handler ends.

        If it raises, the session is closed with 1011.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, ConnectionClosed):
            return
        logger.error("session %s: task %s failed", self.id, task.get_name(), exc_info=error)
        self.set_failure(error)
        self._link.send_close(CloseCode.INTERNAL_ERROR, "internal error")

    async def cancel_tasks(self) -> None:
        """Cancel what `create_task` started, and wait for it."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def end_receiving(self) -> None:
        """Hand nothing more to the handler: what comes from now on is thrown away.

        A server that drains cannot pass messages on any more, so it must not take any either.
        """
        self._on_message = None
        self._inbox.end_at_once(self.closed_error)

    @property
    def is_idle(self) -> bool:
        """Whether the handler has dealt with all that was received: it waits for the next message,
        or there never was one."""
        if len(self._inbox):
            return False
        return (
            self._inbox.is_awaited()
            or self._listener is not None
            or not self._connection.messages_in
        )

    def find_reset(self) -> None:
        """End the session if its connection was reset unnoticed; called now and then."""
        self._link.find_reset()

    def hold_reading(self, seconds: float) -> None:
        """Read nothing more from the peer for some time, so that TCP slows it down.

        What has been read already is delivered. A later call may only make it longer.
        """
        self._link.hold_reading(seconds)

    # --- observing ----------------------------------------------------------------------------

    @property
    def stats(self) -> Stats:
        """Totals so far."""
        c = self._connection
        coded = bool(self.negotiation.agreed)
        return Stats(
            c.messages_in,
            c.messages_out,
            c.app_bytes_in,
            c.app_bytes_out,
            c.wire_bytes_in if coded else c.app_bytes_in,
            c.wire_bytes_out if coded else c.app_bytes_out,
            self._inbox.dropped,
            self._link.dropped_out,
        )

    @property
    def waiting_messages(self) -> int:
        """Received messages that wait for the application."""
        return len(self._inbox)

    @property
    def progress(self) -> Progress:
        """What has happened so far, by the counters that limits are about."""
        c, link = self._connection, self._link
        return Progress(c.messages_in, c.pings_in, link.stuck_bytes, link.resumed)

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

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows, for example ``peername`` or ``ssl_object``."""
        return self._link.get_extra_info(name)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.request.path} {self._connection.state.name}>"

    # --- the link's side ----------------------------------------------------------------------

    def start(
        self, transport: asyncio.Transport, rest: bytes = b"", listener: Listener | None = None
    ) -> None:
        """Begin on a transport whose opening handshake is done; for servers and clients."""
        self._listener = listener
        self._on_message = None if listener is None else listener.on_message
        self._installed.session_opened(self)
        if listener is not None:
            self._guard(listener.on_open, self)
        self._link.attach(transport, rest)

    def resume_later(self) -> None:
        """Read no more until the peer has read."""
        self._link.pause_reading()
        if self._resuming is None:
            self._resuming = self.create_task(self._resume_reading())

    async def _resume_reading(self) -> None:
        await self._link.drain()
        self._resuming = None
        self._link.resume_reading()

    def overflow(self) -> None:
        """The inbox has passed its bounds."""
        policy = self.options.incoming_overflow
        state = self._connection.state
        if policy == "drop-oldest" or state is State.CLOSE_SENT:
            # After our own Close nobody may be reading any more, and the peer's has to be found.
            self._inbox.drop_oldest()
        elif state is not State.OPEN:
            pass  # this is the last that will come
        elif policy == "close":
            self._link.fail(LocalProtocolError("messages come too fast", CloseCode.TRY_AGAIN_LATER))
        else:
            self._link.pause_reading()

    def _guard(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            self.listener_failed(error)

    def listener_failed(self, error: Exception) -> None:
        """A listener's method has raised."""
        if isinstance(error, ConnectionClosed):
            return
        logger.error("session %s: listener failed", self.id, exc_info=error)
        self.set_failure(error)
        self._link.send_close(CloseCode.INTERNAL_ERROR, "internal error")

    @property
    def is_full(self) -> bool:
        """Whether the application has enough to read for now."""
        return self._inbox.full

    def closing(self) -> None:
        """Called by the link when nothing more will be received."""
        self._inbox.end(self.closed_error)

    def ended(self) -> None:
        """Called by the link when the transport is gone."""
        self._info = info = self._connection.close_info()
        self._inbox.end(self.closed_error)
        if self._listener is not None:
            self._guard(self._listener.on_close, self, info)
        self._installed.session_closed(self, info)
        while self._on_close:
            self._guard(self._on_close.pop(), info)
