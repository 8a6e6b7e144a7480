"""One request and its answer, as their transport sees them: counted, timed, written, closed."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Protocol, cast

from wsext.app.application import Application
from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.protocol.bodies import BodyReader
from wsext.protocol.http import Request, Response, serialize_request
from wsext.runtime.net import close_in_time, half_close
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers
from wsext.runtime.turns import Turns
from wsext.server import access
from wsext.server.admission import Addresses, Admission
from wsext.server.decision import internal_error
from wsext.server.handing import Note
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies

__all__ = ["Exchange", "Host"]

logger = get_logger("wsext.server")

#: Seconds that an answered connection stays readable, so that the peer gets the answer.
_LINGER = 1.0


class Host(Protocol):
    """What a handshake needs of the server that it came to.

    Attributes:
        app: The application.
        timers: What runs timeouts.
        proxies: Who is believed what it says about its clients.
        hosts: Which hosts may be asked for.
        addresses: What each address takes.
        loop: Its event loop.
        turns: The turns of that loop.
        buffer: What requests are read into; ``None`` if each connection needs one of its own.
        draining: Whether the server is shutting down.
        worker: The worker that it runs in; empty without workers.
    """

    app: Application
    timers: Timers
    proxies: Proxies
    hosts: Hosts
    addresses: Addresses
    loop: asyncio.AbstractEventLoop
    turns: Turns
    buffer: memoryview | None
    draining: bool
    worker: str

    @property
    def may_resume(self) -> bool:
        """Whether it has sessions that can be resumed."""

    def admit(self, connection: Exchange) -> str | None:
        """Count a new connection; empty if it has a place, the limit's name if it is only told that
        there is none, and ``None`` if it is not even told."""

    def heard(self, connection: Exchange) -> None:
        """The first request of a connection has come whole."""

    def release(self, connection: Exchange) -> None:
        """A connection is gone."""

    async def hand_over(self, connection: Exchange, request: Request, worker: str) -> bool:
        """Have another worker answer, if ``worker`` is empty any one that does not shut down;
        ``False`` if that cannot be now."""

    async def locate(self, worker: str) -> str | None:
        """The address of the server that a worker belongs to; ``None`` if it is not known."""

    def start_session(self, connection: Exchange, session: Session) -> None:
        """A handshake has become a session."""

    def resume_session(self, connection: Exchange, session: Session) -> None:
        """A session goes on with another connection."""

    def detach_session(self, connection: Exchange) -> None:
        """A session has lost the connection that it had last; it takes no place any more.

        Args:
            connection: The one that runs the session's handler.
        """

    def end_session(self, connection: Exchange, session: Session) -> None:
        """A session has ended, and its handler, too."""


class Exchange(asyncio.BaseProtocol):
    """One request on one transport, and its answer.

    The transport is a connection's (HTTP/1.1) or a stream's (HTTP/2).

    Args:
        host: The server.
        note: What another worker has read of the connection, which has handed it over.
    """

    __slots__ = (
        "_admission",
        "_answered",
        "_body",
        "_counted",
        "_host",
        "_is_begun",
        "_is_session",
        "_rest",
        "_timeout",
        "_whole",
        "made",
        "note",
        "task",
        "transport",
    )

    #: The status of an accepted handshake.
    accepted: ClassVar[int] = 101

    def __init__(self, host: Host, note: Note | None = None) -> None:
        self._host = host
        self.note = note
        self._timeout: Any = None
        self.task: asyncio.Task[None] | None = None
        self._rest = b""
        self._body: BodyReader | None = None
        self._counted = 0  # bytes of it, among those that wait for the application
        self._whole: asyncio.Future[bytes] | None = None  # done with the body
        self._admission: Admission | None = None
        self._answered = False
        self._is_begun = False  # a whole request has come
        self._is_session = False
        self.made = host.loop.time()
        self.transport: asyncio.Transport | None = None

    def enter(self, peername: Any) -> bool:
        """Count the connection; ``False`` if there are so many that it gets no answer.

        Args:
            peername: The peer's address, as a transport has it.
        """
        host = self._host
        limit = host.admit(self)
        if limit is None:
            return False
        self._admission = Admission(host.addresses, host.proxies, peername, limit)
        if self._admission.is_flood:
            host.release(self)
            return False
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        if self._admission is None and not self.enter(transport.get_extra_info("peername")):
            self.transport.abort()
            return
        host = self._host
        left = self.made + host.app.server_options.handshake_timeout
        self._timeout = host.timers.call_later(left - host.loop.time(), self.transport.abort)

    def uncount(self) -> None:
        """The connection is gone."""
        if self._admission is not None:
            self._admission.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_timeout()
        self._host.release(self)
        # A task that was cancelled keeps its frames, and they keep this: a cycle.
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
        self.transport = None

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def is_pending(self, fresh: float) -> bool:
        """Whether a request that is no session may come, or is being answered, or just was.

        Args:
            fresh: The time after which a connection is too new to have sent one.
        """
        if self._is_session:
            return False
        return self._answered or self._is_begun or self.made > fresh

    @property
    def is_undecided(self) -> bool:
        """Whether a first request may come, or is being answered."""
        return not self._is_session

    def stop_timeout(self) -> None:
        """The handshake is done, or is somebody else's."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def drain(self) -> None:
        """The server shuts down: take no more requests. Here, there is only the one."""

    # --- the body -----------------------------------------------------------------------------

    async def _receive(self, body: BodyReader) -> bytes:
        """Read the body; ``handshake_timeout`` holds for it, too.

        Raises:
            HandshakeRejected: 413 if it is too large, 400 if it is malformed, 503 if too much waits
                for the application (``incoming_total``).
        """
        transport = self.transport
        assert transport is not None  # else this task is cancelled
        rest, self._rest = self._rest, b""
        self._body, self._whole = body, self._host.loop.create_future()
        self._feed(rest)
        if not self._whole.done():
            if body.is_awaited and not rest:
                self._write_continue()
            transport.resume_reading()
        try:
            return await self._whole
        finally:
            self._body = self._whole = None

    def _feed(self, data: bytes, *, end: bool = False) -> None:
        """Some of the body has come."""
        body, whole = self._body, self._whole
        if body is None or whole is None or whole.done():
            return
        try:
            self._count(len(data))
            content = body.feed(data, end=end)
        except HandshakeRejected as error:
            self._body = None
            # This frame has the future: the two would keep one another, and the transport.
            whole.set_exception(error.with_traceback(None))
            return
        if content is not None:
            self._body = None
            whole.set_result(content)

    def _count(self, more: int) -> None:
        """Count bytes of the body together with what waits in all sessions, until the answer."""
        turns = self._host.turns
        if more and turns.is_full:
            raise HandshakeRejected(503, "too much waits for the application", {"Retry-After": "5"})
        turns.count(more)
        self._counted += more

    def uncount_body(self) -> None:
        """The application has the body no more."""
        if self._counted:
            self._host.turns.count(-self._counted)
            self._counted = 0

    def _write_continue(self) -> None:
        """Tell the peer that its body is wanted (RFC 9110 §15.2.1)."""
        raise NotImplementedError

    # --- the answer ---------------------------------------------------------------------------

    def _tell(self, request: Request | None, status: int) -> None:
        """Tell the log and the hooks how a request was answered."""
        access.log_answer(request, status)
        installed = self._host.app.installed
        limit = "" if self._admission is None else self._admission.limit
        if limit and status != 101:
            installed.limited(limit, request)
        installed.answered(request, status)

    def respond(self, request: Request | None, response: Response) -> None:
        """Answer with anything but a session, and close."""
        self.stop_timeout()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        head_only = request is not None and request.method == "HEAD"
        try:
            self._write_response(response, head_only)
        except Exception:  # a header that nobody may send
            logger.exception("the answer cannot be sent")
            response = internal_error()
            self._write_response(response, head_only)
        self._tell(request, response.status)
        self.finish()

    def finish(self) -> None:
        """Close the connection, once the peer has had time to read what was written."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        # Unread data in the socket would make TCP drop the answer: half-close, then wait a little.
        self._answered = True
        self._rest = b""
        if transport.can_write_eof():
            half_close(transport)
        else:
            close_in_time(transport)
        patience = self._host.app.server_options.handshake_timeout
        self._linger(transport, self._host.timers.time() + patience)

    def _linger(self, transport: asyncio.Transport, until: float) -> None:
        """Drop the connection in a little while, later if the peer still reads the answer."""

        def end() -> None:
            if transport.get_write_buffer_size() and self._host.timers.time() < until:
                self._linger(transport, until)
            else:
                transport.abort()

        self._timeout = self._host.timers.call_later(_LINGER, end)

    def _write_response(self, response: Response, head_only: bool) -> None:
        """Write any other answer, for HEAD without its body."""
        raise NotImplementedError

    # --- another worker's answer --------------------------------------------------------------

    def read_so_far(self, request: Request) -> bytes:
        """What was read: the request, as HTTP/1.1 has it, and what has come behind it."""
        return serialize_request(request) + self._rest

    def pass_on(self) -> None:
        """Another worker answers."""
        self.stop_timeout()
        self._is_session = True  # as far as this worker has to know
        self._rest = b""

    def write_foreign(self, data: bytes) -> None:
        """Write what another worker answers, in HTTP/1.1, and what its session sends."""
        assert self.transport is not None
        self.transport.write(data)
