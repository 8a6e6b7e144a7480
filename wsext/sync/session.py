"""A session whose methods wait for their results."""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, ParamSpec, TypeVar, cast, overload

from wsext.errors import CloseInfo, ConnectionClosed, ConnectionClosedOK
from wsext.protocol.agreement import Agreed, Negotiation
from wsext.protocol.closing import CloseCode
from wsext.protocol.contract import Trace
from wsext.protocol.frames import Data, Frame, Message
from wsext.protocol.headers import Headers
from wsext.protocol.http import Request
from wsext.protocol.prepared import PreparedMessage
from wsext.runtime.inbox import as_frame
from wsext.runtime.portal import Lease
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.stats import Stats
from wsext.sync.pieces import Mapped, send_pieces

__all__ = ["BlockingSession"]

P = ParamSpec("P")
T = TypeVar("T")

#: What is no message in fragments, though it can be iterated over.
_WHOLE = (str, bytes, bytearray, memoryview, Mapping)


def _attribute(name: str) -> Any:
    """An attribute of the session itself, which its event loop may just be changing."""

    def read(self: BlockingSession) -> Any:
        if self._lease.has_ended:
            return getattr(self._session, name)
        return self._call(getattr, self._session, name)

    def write(self: BlockingSession, value: Any) -> None:
        self._call(setattr, self._session, name, value)

    return property(read, write, doc=getattr(Session, name).__doc__)


class BlockingSession:
    """A session of `wsext.sync.connect`: a `Session` whose methods wait for their results.

    Several threads may use it at the same time: each message is received by one of them. What
    waits takes a ``timeout`` in seconds, raises `TimeoutError` after it, and does nothing then; for
    `send` see there. Ctrl-C interrupts it in the same way. Errors are those of `Session`.

    Attributes:
        id, name, request, subprotocol, negotiation, options, response_headers, fresh_start: As of
            `Session`.
        state, identity, extensions, buffered_amount, latency, is_open, connected: As of `Session`.
        resumptions, unconfirmed, close_info, stats: As of `Session`.
    """

    id: str = _attribute("id")
    name: str = _attribute("name")
    request: Request = _attribute("request")
    subprotocol: str | None = _attribute("subprotocol")
    negotiation: Negotiation = _attribute("negotiation")
    options: WebSocketOptions = _attribute("options")
    response_headers: Headers = _attribute("response_headers")
    fresh_start: bool = _attribute("fresh_start")
    state: dict[str, Any] = _attribute("state")
    identity: Any = _attribute("identity")
    extensions: tuple[Agreed, ...] = _attribute("extensions")
    buffered_amount: int = _attribute("buffered_amount")
    latency: float | None = _attribute("latency")
    is_open: bool = _attribute("is_open")
    connected: bool = _attribute("connected")
    resumptions: int = _attribute("resumptions")
    unconfirmed: list[str | bytes] = _attribute("unconfirmed")
    close_info: CloseInfo = _attribute("close_info")
    stats: Stats = _attribute("stats")

    def __init__(self, session: Session, lease: Lease, *, is_shared: bool = False) -> None:
        self._session = session
        self._lease = lease
        self._run = lease.run
        self._is_shared = is_shared  # whether sessions after it go on with the lease
        # What was received for a call that was interrupted just then is here for the next one.
        self._received: deque[Message] = deque()

    def __repr__(self) -> str:
        return repr(self._session).replace("<Session", "<BlockingSession", 1)

    def _call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def call() -> T:
            return function(*args, **kwargs)

        return self._run(None, call)

    def extension(self, kind: type | str, default: Any = ...) -> Any:
        """The extension of this class or token that is in use; see `Session.extension`.

        Raises:
            LookupError: If it is not in use, and there is no default.
        """
        given = () if default is ... else (default,)
        return self._call(self._session.extension, kind, *given)

    # --- receiving ----------------------------------------------------------------------------

    def receive_message(self, timeout: float | None = None) -> Message:
        """The next message with its type and metadata.

        Raises:
            ConnectionClosed: When the session has ended and nothing waits any more.
            TimeoutError: If none has come in time. With 0 seconds, that is if none waits.
        """
        while True:
            try:
                return self._received.popleft()
            except IndexError:
                self._run(timeout, self._receive)

    async def _receive(self) -> None:
        if not self._received:
            self._received.append(await self._session.receive_message())

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message: ``str`` for text, ``bytes`` for binary.

        Raises:
            ConnectionClosed, TimeoutError: As `receive_message`.
        """
        return self.receive_message(timeout).data

    def receive_frame(self, timeout: float | None = None) -> Frame:
        """The next message as one frame.

        Raises:
            ConnectionClosed, TimeoutError: As `receive_message`.
        """
        return as_frame(self.receive_message(timeout))

    @overload
    def receive_json(self, type: type[T], timeout: float | None = None) -> T: ...

    @overload
    def receive_json(self, type: Any = Any, timeout: float | None = None) -> Any: ...

    def receive_json(self, type: Any = Any, timeout: float | None = None) -> Any:
        """The next message, decoded from JSON and checked against a type (msgspec).

        Raises:
            RemoteProtocolError: With 1007 if the message is not such JSON.
            ConnectionClosed, TimeoutError: As `receive_message`.
        """
        return self._session._decoded(self.receive(timeout), type, "json")

    @overload
    def receive_msgpack(self, type: type[T], timeout: float | None = None) -> T: ...

    @overload
    def receive_msgpack(self, type: Any = Any, timeout: float | None = None) -> Any: ...

    def receive_msgpack(self, type: Any = Any, timeout: float | None = None) -> Any:
        """The next message, decoded from MessagePack and checked against a type (msgspec).

        Raises:
            RemoteProtocolError: With 1007 if the message is not such MessagePack.
            ConnectionClosed, TimeoutError: As `receive_message`.
        """
        return self._session._decoded(self.receive(timeout), type, "msgpack")

    def receive_stream(self, timeout: float | None = None) -> Iterator[str | bytes]:
        """The next message piece by piece, as its fragments come.

        Leaving the loop early leaves the rest of the message to the next receive.

        Args:
            timeout: Seconds to wait for each piece.

        Raises:
            ConnectionClosed, TimeoutError: As `receive_message`; also in the middle of the message.
        """
        try:
            yield self._received.popleft().data
            return
        except IndexError:
            pieces = cast("AsyncGenerator[str | bytes]", self._session.receive_stream())
        try:
            while (piece := self._run(timeout, _next, pieces)) is not None:
                yield piece
        finally:
            self._run(None, pieces.aclose)

    def __iter__(self) -> Iterator[str | bytes]:
        """Iterate over messages until the session ends; normal ends finish the loop silently."""
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.receive()
        except ConnectionClosed as error:
            if self._session._inbox.quiet or isinstance(error, ConnectionClosedOK):
                raise StopIteration from None
            raise

    # --- sending ------------------------------------------------------------------------------

    def send(
        self,
        data: Data | PreparedMessage | Iterable[Data],
        *,
        hints: Mapped = None,
        meta: Mapped = None,
        timeout: float | None = None,
    ) -> None:
        """Send a message; waits while the peer reads too slowly.

        A message whose time is over is either not sent at all, or was on its way and is sent whole.
        One in fragments that is given up half way fails the connection: nothing can take back its
        first part.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one, another iterable of
                either one message in fragments, sent as they come.
            hints, meta: As for `Session.send`.
            timeout: Seconds that it may wait; of a message in fragments for each of them.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            TimeoutError: If the peer has not read enough in time.
            TypeError: If the data is of another type.
        """
        if isinstance(data, _WHOLE) or not isinstance(data, Iterable):
            self._run(timeout, self._send, data, hints, meta)
        else:
            send_pieces(self._lease, self._session, data, hints, meta, timeout)

    async def _send(self, data: Any, hints: Mapped, meta: Mapped) -> None:
        await self._session.send(data, hints=hints, meta=meta)

    def send_nowait(
        self, data: Data | PreparedMessage, *, hints: Mapped = None, meta: Mapped = None
    ) -> None:
        """Send a message; when the peer is slow, the overflow policy decides.

        Raises:
            ConnectionClosed, LocalProtocolError, QueueFull: As `Session.send_nowait`.
        """
        self._call(self._session.send_nowait, data, hints=hints, meta=meta)

    def send_json(
        self,
        value: Any,
        *,
        text: bool = True,
        hints: Mapped = None,
        meta: Mapped = None,
        timeout: float | None = None,
    ) -> None:
        """Send a value as JSON (msgspec), in a text message or a binary one.

        Raises:
            ConnectionClosed, TimeoutError: As `send`.
            TypeError: If the value cannot be encoded.
        """
        self._run(timeout, self._session.send_json, value, text=text, hints=hints, meta=meta)

    def send_msgpack(
        self,
        value: Any,
        *,
        hints: Mapped = None,
        meta: Mapped = None,
        timeout: float | None = None,
    ) -> None:
        """Send a value as MessagePack (msgspec), in a binary message.

        Raises:
            ConnectionClosed, TimeoutError, TypeError: As `send_json`.
        """
        self._run(timeout, self._session.send_msgpack, value, hints=hints, meta=meta)

    def send_frame(self, frame: Frame, timeout: float | None = None) -> None:
        """Send one frame: a fragment or a control frame.

        Raises:
            ConnectionClosed, TimeoutError: As `send`.
            LocalProtocolError: If the frame may not be sent now (RFC 6455 §5.4, §5.5).
        """
        self._run(timeout, self._session.send_frame, frame)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything sent so far is with the operating system.

        This says nothing about the peer: use `ping` to know that it has read it.

        Raises:
            TimeoutError: If that takes longer.
        """
        self._run(timeout, self._session.flush)

    def ping(self, payload: bytes | None = None, timeout: float | None = None) -> float:
        """Send a ping and wait for its pong; the latency in seconds.

        Raises:
            ConnectionClosed: If the session ends before the pong comes.
            TimeoutError: If it does not come in time.
            TypeError, ValueError: For the payload, as `Session.ping`.
        """
        return self._run(timeout, self._session.ping, payload)

    # --- the end ------------------------------------------------------------------------------

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the session and wait for the peer, at most ``close_timeout`` seconds.

        What was sent before leaves before the Close frame. A second close only waits.

        Raises:
            ValueError: If the code may not be sent; see `Session.close`.
        """
        self._run(None, self._session.close, code, reason)
        if not self._is_shared:
            self._lease.end()

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close the session without waiting for the peer.

        Raises:
            ValueError: As `close`.
        """
        self._call(self._session.close_nowait, code, reason)

    def wait_closed(self, timeout: float | None = None) -> CloseInfo:
        """Wait until the session has ended, for whatever reason.

        Raises:
            TimeoutError: If it has not in time.
        """
        return self._run(timeout, self._session.wait_closed)

    def abort(self) -> None:
        """Drop the connection at once; the peer sees 1006. It cannot be resumed."""
        self._call(self._session.abort)

    # --- observing ----------------------------------------------------------------------------

    def trace(self, callback: Trace | None) -> Callable[[], None]:
        """Be told of every frame at every stage of the pipeline; see `Session.trace`.

        The callback is called in the thread of the event loop, and must not wait.

        Returns:
            What ends this trace.
        """
        end = self._call(self._session.trace, callback)
        return lambda: self._call(end)


async def _next(pieces: AsyncIterator[str | bytes]) -> str | bytes | None:
    return await anext(pieces, None)
