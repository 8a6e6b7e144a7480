"""One request on one transport, from the first byte to its answer, whatever version of HTTP."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, cast

from wsext.app.application import Application
from wsext.app.routing import Route, as_response
from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.protocol.agreement import Negotiation
from wsext.protocol.http import Request, Response, rejection, serialize_request
from wsext.runtime.life import life_of
from wsext.runtime.listener import Listener
from wsext.runtime.net import half_close
from wsext.runtime.patience import close_rest
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers
from wsext.runtime.turns import SLICE, turns_of
from wsext.server import access
from wsext.server.admission import Addresses, Admission
from wsext.server.decision import Acceptance, Terms, ask_guards, decide, internal_error
from wsext.server.handing import Note, find_worker
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies

__all__ = ["Handshake", "Host"]

logger = get_logger("wsext.server")

#: Seconds that it takes to answer a request, about.
_ANSWER = 0.0003

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
        draining: Whether the server is shutting down.
        worker: The worker that it runs in; empty without workers.
    """

    app: Application
    timers: Timers
    proxies: Proxies
    hosts: Hosts
    addresses: Addresses
    draining: bool
    worker: str

    @property
    def may_resume(self) -> bool:
        """Whether it has sessions that can be resumed."""

    def admit(self, connection: Handshake) -> str | None:
        """Count a new connection; empty if it has a place, the limit's name if it is only told that
        there is none, and ``None`` if it is not even told."""

    def heard(self, connection: Handshake) -> None:
        """The first request of a connection has come whole."""

    def release(self, connection: Handshake) -> None:
        """A connection is gone."""

    async def hand_over(self, connection: Handshake, request: Request, worker: str) -> bool:
        """Have another worker answer, if ``worker`` is empty any one that does not shut down;
        ``False`` if that cannot be now."""

    async def locate(self, worker: str) -> str | None:
        """The address of the server that a worker belongs to; ``None`` if it is not known."""

    def start_session(self, connection: Handshake, session: Session) -> None:
        """A handshake has become a session."""

    def resume_session(self, connection: Handshake, session: Session) -> None:
        """A session goes on with another connection."""

    def detach_session(self, connection: Handshake) -> None:
        """A session has lost the connection that it had last; it takes no place any more.

        Args:
            connection: The one that runs the session's handler.
        """

    def end_session(self, connection: Handshake, session: Session) -> None:
        """A session has ended, and its handler, too."""


class Handshake(asyncio.Protocol):
    """One request on one transport until it is answered.

    The transport is a connection's (HTTP/1.1) or a stream's (HTTP/2). Subclasses read the request
    and write the answer; `wsext.server.decision` decides what the answer is.

    Args:
        host: The server.
        note: What another worker has read of the connection, which has handed it over.
    """

    __slots__ = (
        "_admission",
        "_answered",
        "_host",
        "_is_session",
        "_rest",
        "_start",
        "_timeout",
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
        self._start: _Start | None = None
        self.task: asyncio.Task[None] | None = None
        self._rest = bytearray()
        self._admission: Admission | None = None
        self._answered = False
        self._is_session = False
        self.made = asyncio.get_running_loop().time()
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
        self._timeout = host.timers.call_later(
            left - asyncio.get_running_loop().time(), self.transport.abort
        )

    def uncount(self) -> None:
        """The connection is gone."""
        if self._admission is not None:
            self._admission.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_timeout()
        self._host.release(self)
        if self.task is not None:
            self.task.cancel()

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
        is_begun = self.task is not None or self._start is not None
        return self._answered or is_begun or self.made > fresh

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

    # --- the request --------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Start to answer a request that is whole."""
        transport, admission = self.transport, self._admission
        if transport is None or admission is None:
            return
        self._host.heard(self)
        request.transport = transport
        if self.note is not None:
            request.secure = self.note.secure
        else:
            request.secure = transport.get_extra_info("ssl_object") is not None
        request.draining = self._host.draining
        admission.complete(request)
        if admission.is_flood:
            transport.abort()
            return
        self._start = start = _Start(self, request)
        if start.turns.is_spent:
            start.turns.queue(start)
        else:
            start.go_on()

    def start(self, request: Request) -> None:
        """It is the request's turn."""
        self._start = None
        if self.transport is not None and not self.transport.is_closing():
            self.task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        """Answer a request; if the answer is a session, run it until it has ended.

        The session runs in this frame: another one for each session would cost memory.
        """
        session, route = await self._answer(request)
        if session is None or route is None:
            return
        transport = self.transport
        assert transport is not None  # it was there when the session was made
        del request
        life = life_of(session)
        rest, self._rest = bytes(self._rest), bytearray()
        self._is_session = True
        self.stop_timeout()
        self._host.start_session(self, session)
        try:
            self._tell(session.request, self.accepted)
            session.request.pack()
            if inspect.isclass(route.handler) and issubclass(route.handler, Listener):
                life.start(transport, rest, route.handler)
                await session.wait_closed()
            else:
                life.start(transport, rest)
                await life.run(route.handler, session, **session.path_params)
        except Exception:
            logger.exception("session %s failed", session.id)
            self._drop(session)
        except BaseException:
            self._drop(session)
            raise
        finally:  # whatever has happened, the session is counted out again
            try:
                await life.release()
            finally:
                self._host.end_session(self, session)
                # A task that was cancelled keeps its frames, and this one keeps the session.
                self.task = None

    def session_detached(self) -> None:
        """The session whose handler runs here has lost its connection."""
        self._host.detach_session(self)

    def _drop(self, session: Session) -> None:
        """End a session whose handler does not go on; it may have another connection by now."""
        session.abort()
        self.abort()  # it may have none yet

    async def _answer(self, request: Request) -> tuple[Session | None, Route | None]:
        """Write the answer; the session and its route, if it is one."""
        try:
            self._host.hosts.check(request)
            route, params = self._host.app.table.match(request)
            request.route = route.path
            if route.kind == "http":
                answer: Response | Session | None = await _ask_http(route, params, request)
            else:
                answer = await self._ask_for_session(route, params, request)
        except HandshakeRejected as error:
            answer = rejection(error)
        except Exception:
            logger.exception("answering %s failed", request.path)
            answer = internal_error()
        if isinstance(answer, Response):
            self.respond(request, answer)
        elif answer is not None:
            return answer, route
        return None, None

    async def _ask_for_session(
        self, route: Route, params: Mapping[str, Any], request: Request
    ) -> Session | Response | None:
        """A session whose handshake was accepted, a refusal, or ``None`` if the client has gone."""
        host = self._host
        options, installed = host.app.profile(route)
        if host.worker and self.note is None:
            limit = host.app.server_options.max_offers
            worker = find_worker(request, installed.extensions, limit)
            if worker not in ("", host.worker) and await self._lead_to(worker, request):
                return None
        terms = Terms(
            options,
            installed,
            route.subprotocols,
            route.guards,
            self._check_place,
            host.app.server_options.max_offers,
            host.worker,
        )
        decision = await decide(request, terms)
        if isinstance(decision, Response):
            return decision
        try:
            transport = self.transport
            if transport is None or transport.is_closing():
                await close_rest(decision.negotiation.close(), options)
                return None
            if decision.session is not None:
                self._write_acceptance(request, decision)
                self._resume(decision.session, request, decision.negotiation)
                return None
            if host.draining:
                await close_rest(decision.negotiation.close(), options)
                return await self._send_elsewhere(request)
            session = Session(
                "server",
                request,
                options=options,
                installed=installed,
                negotiation=decision.negotiation,
                subprotocol=decision.subprotocol,
                path_params=params,
                raw=route.kind == "raw",
                timers=host.timers,
                outcome=host.app.close_for,
            )
            self._write_acceptance(request, decision)
        except BaseException:
            await close_rest(decision.negotiation.close(), options)
            raise
        return session

    async def _lead_to(self, worker: str, request: Request) -> bool:
        """Have another worker answer a handshake; ``False`` if it is not there.

        Raises:
            HandshakeRejected: 307 if it is one of another server; 429 or 503 if there is no place.
        """
        if self._admission is not None:
            self._admission.check()  # guesses count here, too
        if await self._host.hand_over(self, request, worker):
            return True
        url = await self._host.locate(worker)
        if url is not None:
            where = {"Location": url.rstrip("/") + request.target}
            raise HandshakeRejected(307, "another server has the session", where)
        return False

    def _resume(self, session: Session, request: Request, negotiation: Negotiation) -> None:
        """Go on with a session that has its handler, and from now on this connection."""
        transport, journal = self.transport, negotiation.journal
        assert transport is not None  # it was there when the answer was written
        assert journal is not None  # or no session would have been found
        self._is_session = True
        self.stop_timeout()
        rest, self._rest = bytes(self._rest), bytearray()
        self._host.resume_session(self, session)
        life_of(session).resume(request, negotiation, transport, rest, journal.peer_received or 0)
        self._tell(request, self.accepted)
        request.pack()

    async def _send_elsewhere(self, request: Request) -> Response | None:
        """Answer a handshake that resumes nothing while the server shuts down; a worker that was
        handed it lets another one do so."""
        note = self.note
        if note is not None and not note.returned and await self._host.hand_over(self, request, ""):
            return None
        return rejection(_shutting_down())

    def _check_place(self) -> None:
        """Refuse handshakes when there is no place; plain requests are answered all the same."""
        if self._host.draining and not self._host.may_resume:
            raise _shutting_down()
        if self._admission is not None:
            self._admission.check()

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
        self._rest.clear()
        if transport.can_write_eof():
            half_close(transport)
        else:
            transport.close()
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

    # --- another worker's answer --------------------------------------------------------------

    def read_so_far(self, request: Request) -> bytes:
        """What was read: the request, as HTTP/1.1 has it, and what has come behind it."""
        return serialize_request(request) + self._rest

    def pass_on(self) -> None:
        """Another worker answers."""
        self.stop_timeout()
        self._is_session = True  # as far as this worker has to know
        self._rest.clear()

    def write_foreign(self, data: bytes) -> None:
        """Write what another worker answers, in HTTP/1.1, and what its session sends."""
        assert self.transport is not None
        self.transport.write(data)

    def _write_acceptance(self, request: Request, acceptance: Acceptance) -> None:
        """Accept the handshake."""
        raise NotImplementedError

    def _write_response(self, response: Response, head_only: bool) -> None:
        """Write any other answer, for HEAD without its body."""
        raise NotImplementedError


class _Start:
    """A request's place among those who have turns.

    Many requests that come at once are answered in several passes of the event loop: each takes a
    part of a millisecond. What the answer then waits for, such as a guard, takes no turn.
    """

    __slots__ = ("_handshake", "_request", "is_queued", "last", "turns", "used")

    def __init__(self, handshake: Handshake, request: Request) -> None:
        self._handshake = handshake
        self._request = request
        self.turns = turns_of(asyncio.get_running_loop())
        self.used, self.last = 0.0, SLICE
        self.is_queued = False

    def go_on(self) -> None:
        """It is its turn."""
        # The answer is made by a task. What that will take is counted now.
        self.turns.charge(self, self.turns.clock() - _ANSWER)
        self._handshake.start(self._request)


def _shutting_down() -> HandshakeRejected:
    return HandshakeRejected(503, "the server is shutting down", {"Retry-After": "5"})


async def _ask_http(route: Route, params: Mapping[str, Any], request: Request) -> Response:
    """The answer of a plain HTTP route.

    Raises:
        HandshakeRejected: If a guard or the handler does.
    """
    refusal = await ask_guards(route.guards, request)
    if refusal is not None:
        return refusal
    result = route.handler(request, **params)
    if inspect.isawaitable(result):
        result = await result
    return as_response(result)
