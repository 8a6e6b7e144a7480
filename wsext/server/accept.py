"""One accepted connection: reads the handshake, answers it, runs the route's handler."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from typing import TYPE_CHECKING, Any, cast

from wsext.app.routing import Route, as_response
from wsext.errors import HandshakeRejected
from wsext.http2 import PREFACE
from wsext.protocol import handshake
from wsext.protocol.http import Request, RequestReader, Response, rejection
from wsext.runtime.life import life_of
from wsext.runtime.session import Listener, Session
from wsext.server import access
from wsext.server.limits import limited_address

if TYPE_CHECKING:
    from wsext.server.http2 import ServerConnection
    from wsext.server.server import Server

__all__ = ["Handshake", "HandshakeProtocol"]

logger = logging.getLogger("wsext.server")

#: Seconds that an answered connection stays readable, so that the peer gets the answer.
_LINGER = 1.0

_LATER = {"Retry-After": "5"}


class Handshake(asyncio.Protocol):
    """One request on one transport until it is answered, whatever version of HTTP brought it.

    The transport is a connection's (HTTP/1.1) or a stream's (HTTP/2). Subclasses read the request
    and write the answers; what the answers are is decided here.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._timeout: Any = None
        self.task: asyncio.Task[None] | None = None
        self._rest = bytearray()
        self._peer: str | None = None
        self._address: str | None = None  # what the connection is counted under
        self._too_many = ""  # the limit that it is beyond
        self._answered = False
        self._is_session = False
        self.made = server.loop.time()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._too_many = self._server.admit(self)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        if not self._server.proxies.trusts(self._peer):
            self._count(self._peer)
        self._timeout = self._server.timers.call_later(
            self._server.app.server_options.handshake_timeout, self.transport.abort
        )

    def _count(self, address: str | None) -> None:
        """Count the connection under its client's address, once that is known."""
        self._address = limited_address(address)
        if self._address is None:
            return
        addresses = self._server.addresses
        if not addresses.enter(self._address):
            self._too_many = self._too_many or "max_connections_per_address"
            if addresses.is_flooding(self._address) and self.transport is not None:
                self.transport.abort()

    def uncount(self) -> None:
        """The connection is gone."""
        if self._address is not None:
            self._server.addresses.leave(self._address)
            self._address = None

    def begin(self, request: Request) -> None:
        """Start to answer a request that is whole."""
        self._complete(request)
        self.task = self._server.loop.create_task(self._serve(request))

    def _complete(self, request: Request) -> None:
        transport = self.transport
        if transport is None:
            return
        request.transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            request.remote = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        request.secure = transport.get_extra_info("ssl_object") is not None
        proxies = self._server.proxies
        if proxies.trusts(self._peer):
            self._count(proxies.apply(request, self._peer))

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_timeout()
        self._server.release(self)
        if self.task is not None:
            self.task.cancel()

    def is_pending(self, fresh: float) -> bool:
        """Whether a request that is no session may come, or is being answered, or just was.

        Args:
            fresh: The loop's time after which a connection is too new to have sent one.
        """
        if self._is_session:
            return False
        return self._answered or self.task is not None or self.made > fresh

    @property
    def is_undecided(self) -> bool:
        """Whether a first request may come, or is being answered."""
        return not self._is_session

    def stop_timeout(self) -> None:
        """The handshake is done, or is somebody else's."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    # --- answering ----------------------------------------------------------------------------

    async def _serve(self, request: Request) -> None:
        """Answer a request, and run the session if one was accepted, until it has ended."""
        session, route = await self._answer(request)
        if session is None or route is None:
            return
        server, transport = self._server, self.transport
        assert transport is not None  # it was there when the session was made
        request.pack()
        self._is_session = True
        server.start_session(self, session)
        is_listener = inspect.isclass(route.handler) and issubclass(route.handler, Listener)
        try:
            life = life_of(session)
            life.start(transport, bytes(self._rest), route.handler if is_listener else None)
            self._rest = bytearray()
            if is_listener:
                await session.wait_closed()
            else:
                await life.run(route.handler, session, **session.path_params)
        finally:
            await life_of(session).release()
            server.end_session(self, session)

    async def _answer(self, request: Request) -> tuple[Session | None, Route | None]:
        """Write the answer; the session and its route if it is one."""
        try:
            return await self._accept(request)
        except HandshakeRejected as error:
            self.respond(request, rejection(error))
        except _Answered as answered:
            self.respond(request, answered.response)
        except Exception:
            logger.exception("answering %s failed", request.path)
            self.respond(request, Response(500, "internal server error\n"))
        return None, None

    async def _accept(self, request: Request) -> tuple[Session | None, Route]:
        server = self._server
        route, params = server.app.table.match(request)
        request.route = route.path
        request.draining = server.draining
        if route.kind == "http":
            await _ask_guards(route, request)
            result = route.handler(request, **params)
            if inspect.isawaitable(result):
                result = await result
            raise _Answered(as_response(result))
        handshake.check_upgrade(request)
        self._check_open()
        self._check_rate()
        options, installed = server.app.profile(route)
        handshake.check_origin(request, options.origins)
        await _ask_guards(route, request)
        response = await installed.handshake(request)
        if response is not None:
            raise _Answered(response)
        subprotocol = handshake.select_subprotocol(
            handshake.offered_subprotocols(request), route.subprotocols
        )
        self._check_open()  # guards may have taken their time
        negotiation = server.negotiate(request, options, installed)
        transport = self.transport
        if transport is None or transport.is_closing():
            negotiation.close()
            return None, route
        session = Session(
            "server",
            request,
            options=options,
            installed=installed,
            negotiation=negotiation,
            subprotocol=subprotocol,
            path_params=params,
            raw=route.kind == "raw",
            timers=server.timers,
            outcome=server.app.close_for,
        )
        self.stop_timeout()
        self._tell(request, self._write_acceptance(session))
        return session, route

    def _check_open(self) -> None:
        """Refuse handshakes when there is no place; plain requests are answered all the same."""
        if self._server.draining:
            raise HandshakeRejected(503, "the server is shutting down", _LATER)
        if self._too_many:
            status = 503 if self._too_many == "max_connections" else 429
            raise HandshakeRejected(status, "too many connections", _LATER)

    def _check_rate(self) -> None:
        if self._address is None:
            return
        wait = self._server.addresses.shake(self._address)
        if wait > 0:
            self._too_many = "handshake_rate"
            later = {"Retry-After": str(math.ceil(wait))}
            raise HandshakeRejected(429, "too many handshakes", later)

    def _tell(self, request: Request | None, status: int) -> None:
        """Tell the log and the hooks how a request was answered."""
        access.log_answer(request, status)
        installed = self._server.app.installed
        if self._too_many and status != 101:
            installed.limited(self._too_many, request)
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
            response = Response(500, "internal server error\n")
            self._write_response(response, head_only)
        self._tell(request, response.status)
        # Unread data in the socket would make TCP drop the answer: half-close, then wait a little.
        self._answered = True
        self._rest.clear()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        patience = self._server.app.server_options.handshake_timeout
        self._linger(transport, self._server.timers.time() + patience)

    def _linger(self, transport: asyncio.Transport, until: float) -> None:
        """Drop the connection in a little while, later if the peer still reads the answer."""

        def end() -> None:
            if transport.get_write_buffer_size() and self._server.timers.time() < until:
                self._linger(transport, until)
            else:
                transport.abort()

        self._timeout = self._server.timers.call_later(_LINGER, end)

    def drain(self) -> None:
        """The server shuts down: take no more requests. Here, there is only the one."""

    # --- what the version of HTTP decides -----------------------------------------------------

    def _write_acceptance(self, session: Session) -> int:
        """Accept the handshake; the status."""
        raise NotImplementedError

    def _write_response(self, response: Response, head_only: bool) -> None:
        """Write any other answer, for HEAD without its body."""
        raise NotImplementedError


class HandshakeProtocol(Handshake):
    """The handshake of HTTP/1.1, on a connection of its own; hands HTTP/2 over to its own front."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        options = server.app.server_options
        self._reader: RequestReader | None = RequestReader(
            max_size=options.max_header_size, max_count=options.max_header_count
        )
        self._first: bytes | None = b"" if server.http2 else None
        self._http2: ServerConnection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if self._first is not None and tls is not None and tls.selected_alpn_protocol() == "h2":
            self._hand_over(b"")

    def _hand_over(self, data: bytes) -> None:
        from wsext.server.http2 import ServerConnection

        assert self.transport is not None
        self._http2 = ServerConnection(self._server, self)
        self._http2.start(self.transport, data)

    def drain(self) -> None:
        if self._http2 is not None:
            self._http2.drain()

    @property
    def is_undecided(self) -> bool:
        if self._http2 is None:
            return super().is_undecided
        return self._timeout is not None  # from the first request on, its streams count

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        if self._first is not None:  # does HTTP/2 begin, with prior knowledge (RFC 9113 §3.3)?
            data = self._first + data
            if data.startswith(PREFACE):
                self._hand_over(data)
                return
            self._first = data if PREFACE.startswith(data) else None
            if self._first is not None:
                return
        if self._reader is None:
            self._rest += data
            if len(self._rest) > self._server.app.server_options.max_header_size:
                self._pause()
            return
        try:
            request = self._reader.feed(data)
        except HandshakeRejected as error:
            self._reader = None
            self.respond(None, rejection(error))
            return
        if request is None:
            return
        self._rest += self._reader.take_rest()
        self._reader = None
        self.begin(request)

    def _pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _write_acceptance(self, session: Session) -> int:
        assert self.transport is not None
        self.transport.write(
            handshake.accept_response(
                session.request,
                subprotocol=session.subprotocol,
                extensions=session.negotiation.header,
            )
        )
        return 101

    def _write_response(self, response: Response, head_only: bool) -> None:
        assert self.transport is not None
        self.transport.write(response.serialize(head_only=head_only))


class _Answered(Exception):
    """The request has an answer that is not a session."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def _ask_guards(route: Route, request: Request) -> None:
    for guard in route.guards:
        result = guard(request)
        if inspect.isawaitable(result):
            result = await result
        if result is not None:
            raise _Answered(as_response(result))
