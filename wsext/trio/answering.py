"""One connection of a server: the request, its answer, and the session that it may become."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import trio

from wsext.app.routing import Route
from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.protocol.bodies import BodyReader
from wsext.protocol.handshake import accept_response
from wsext.protocol.heads import RequestReader
from wsext.protocol.http import Request, Response, rejection
from wsext.runtime.listener import Listener
from wsext.server import access
from wsext.server.admission import Admission
from wsext.server.answering import ask_http
from wsext.server.decision import Terms, decide, internal_error
from wsext.trio.life import life_of
from wsext.trio.ports import AnsweringHost
from wsext.trio.session import Session
from wsext.trio.streams import StreamInfo
from wsext.trio.waiting import TrioPatience, close_rest

__all__ = ["Answering"]

logger = get_logger("wsext.server")

#: Bytes of a request that are read at once, at most.
_PIECE = 1 << 14

#: Seconds that an answered connection stays readable, so that the peer gets the answer.
_LINGER = 1.0


class _Gone(Exception):
    """The peer has gone away before it was answered."""


class Answering:
    """Answers the one request of a connection.

    Args:
        host: The server.
        stream: The connection.

    Attributes:
        made: When it was accepted.
    """

    def __init__(self, host: AnsweringHost, stream: trio.abc.Stream) -> None:
        self.made = trio.current_time()
        self._host = host
        self._stream = stream
        self._info = StreamInfo(stream)
        limit = host.admit(self)
        self._is_dropped = limit is None
        peername = self._info.get_extra_info("peername")
        self._admission = Admission(host.addresses, host.proxies, peername, limit or "")
        self._handshake = trio.CancelScope()
        self._rest = b""

    def abort(self) -> None:
        """Drop the connection, whose request has not come."""
        self._handshake.cancel()

    async def run(self) -> None:
        """Do everything; nothing that the connection or its handler does is raised."""
        try:
            if not (self._is_dropped or self._admission.is_flood):
                await self._serve()
        except (trio.BrokenResourceError, _Gone) as error:
            logger.debug("a connection ended: %r", error.__cause__ or error)
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._admission.leave()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
            self._host.release(self)

    async def _serve(self) -> None:
        options = self._host.app.server_options
        found: tuple[Session, Route] | None = None
        self._handshake.deadline = self.made + options.handshake_timeout
        with self._handshake:
            if isinstance(self._stream, trio.SSLStream):
                await self._stream.do_handshake()
            found = await self._answer()
        if found is None:
            return
        session, route = found
        del found
        self._host.begin(session)
        try:
            await self._run_session(session, route)
        finally:
            self._host.end(session)
            access.log_end(cast("Any", session), trio.current_time() - self.made)

    async def _run_session(self, session: Session, route: Route) -> None:
        life = life_of(session)
        listener = route.listener
        handler = route.handler if listener is None else _listening(listener)
        async with trio.open_nursery() as nursery:
            life.open()
            session.request.pack()
            nursery.start_soon(life.link.run, self._rest)
            try:
                await life.run(handler, **session.path_params)
            finally:
                session.abort()  # unless it has ended
                with trio.CancelScope(shield=True):
                    await session.wait_closed()

    # --- the answer ---------------------------------------------------------------------------

    async def _answer(self) -> tuple[Session, Route] | None:
        """Read the request and answer it; the session and its route, if it is one."""
        request: Request | None = None
        answer: Response | tuple[Session, Route]
        try:
            request = await self._read()
            if self._admission.is_flood:
                return None
            answer = await self._find_answer(request)
        except HandshakeRejected as error:
            answer = rejection(error)
        except _Gone:
            raise
        except Exception:
            logger.exception("answering %s failed", "" if request is None else request.path)
            answer = internal_error()
        if not isinstance(answer, Response):
            return answer
        await self._respond(request, answer)
        return None

    async def _read(self) -> Request:
        """The request.

        Raises:
            HandshakeRejected: If it is malformed or too large.
        """
        options = self._host.app.server_options
        reader = RequestReader(max_size=options.max_header_size, max_count=options.max_header_count)
        request = None
        while request is None:
            request = reader.feed(await self._receive_some())
        self._rest = reader.take_rest()
        self._host.heard(self)
        request.transport = self._info
        request.secure = isinstance(self._stream, trio.SSLStream)
        request.draining = self._host.draining
        request.app = self._host.app
        self._admission.complete(request)
        return request

    async def _receive_some(self) -> bytes:
        """Some bytes of the peer."""
        try:
            data = await self._stream.receive_some(_PIECE)
        except trio.BrokenResourceError as error:
            raise _Gone from error
        if not data:
            raise _Gone
        return bytes(data)

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise _Gone from error

    async def _find_answer(self, request: Request) -> Response | tuple[Session, Route]:
        host = self._host
        host.hosts.check(request)
        route, params = host.find_route(request)
        request.route = route.path
        if route.kind == "http":
            return await ask_http(
                route, params, request, host.app, self._admission.check, self._receive
            )
        options, installed = host.app.profile(route)
        terms = Terms(
            options,
            installed,
            route.subprotocols,
            route.guards,
            self._check_place,
            host.app.server_options.max_offers,
            patience=TrioPatience,
            close_rest=close_rest,
        )
        decision = await decide(request, terms)
        if isinstance(decision, Response):
            return decision
        try:
            head = accept_response(
                request,
                subprotocol=decision.subprotocol,
                extensions=decision.negotiation.header,
            )
            session = Session(
                "server",
                request,
                self._stream,
                options=options,
                installed=installed,
                negotiation=decision.negotiation,
                subprotocol=decision.subprotocol,
                path_params=params,
                raw=route.kind == "raw",
                outcome=host.app.close_for,
            )
            await self._send(head)
        except BaseException:
            await close_rest(decision.negotiation.close(), options)
            raise
        self._tell(request, 101)
        return session, route

    async def _receive(self, body: BodyReader) -> bytes:
        """Read the body; ``handshake_timeout`` holds for it, too.

        Raises:
            HandshakeRejected: 413 if it is too large, 400 if it is malformed.
        """
        content = body.feed(self._rest)
        if content is None and body.is_awaited and not self._rest:
            await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while content is None:
            content = body.feed(await self._receive_some())
        return content

    def _check_place(self) -> None:
        if self._host.draining:
            raise HandshakeRejected(503, "the server is shutting down", {"Retry-After": "5"})
        self._admission.check()

    async def _respond(self, request: Request | None, response: Response) -> None:
        """Answer with anything but a session, and close."""
        head_only = request is not None and request.method == "HEAD"
        try:
            data = response.serialize(head_only=head_only)
        except Exception:  # a header that nobody may send
            logger.exception("the answer cannot be sent")
            response = internal_error()
            data = response.serialize(head_only=head_only)
        self._tell(request, response.status)
        await self._send(data)
        # Unread data in the socket would make TCP drop the answer: half-close, then wait a little.
        with suppress(trio.BrokenResourceError), trio.move_on_after(_LINGER):
            if not isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.aclose()
                return
            await self._stream.send_eof()
            while await self._stream.receive_some(_PIECE):
                pass

    def _tell(self, request: Request | None, status: int) -> None:
        """Tell the log and the hooks how a request was answered."""
        access.log_answer(request, status)
        installed = self._host.app.installed
        if self._admission.limit and status != 101:
            installed.limited(self._admission.limit, request)
        installed.answered(request, status)


def _listening(kind: Callable[[], Listener]) -> Callable[..., Any]:
    """A handler that tells a listener of everything."""

    async def handle(session: Session, **path_params: Any) -> None:
        told: Any = session  # a listener is made for either runtime
        listener = kind()
        try:
            listener.on_open(told)
            async for message in session:
                listener.on_message(told, message)
        finally:
            listener.on_close(told, session.close_info)

    return handle
