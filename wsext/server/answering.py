"""What a request is answered, whatever version of HTTP: a response, or a session."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from wsext.app.application import Application
from wsext.app.routing import Route, as_response
from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.protocol.agreement import Negotiation
from wsext.protocol.bodies import BodyReader
from wsext.protocol.http import Request, Response, rejection
from wsext.runtime.life import life_of
from wsext.runtime.loop import start
from wsext.runtime.patience import close_rest
from wsext.runtime.session import Session
from wsext.runtime.turns import Once
from wsext.server.decision import (
    Acceptance,
    Terms,
    ask_guards,
    check_page,
    decide,
    internal_error,
)
from wsext.server.exchange import Exchange
from wsext.server.handing import find_worker

__all__ = ["Handshake", "ask_http"]

logger = get_logger("wsext.server")

#: Seconds that it takes to answer a request, about.
_ANSWER = 0.0003


class Handshake(Exchange):
    """Answers one request.

    Subclasses read the request and write the answer; `wsext.server.decision` decides what the
    answer is.
    """

    __slots__ = ()

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
        request.app = self._host.app
        admission.complete(request)
        if admission.is_flood:
            transport.abort()
            return
        self._is_begun = True
        turns = self._host.turns
        if turns.is_spent:  # many have come at once: what others do has its turn first
            turns.queue(Once(partial(self._start, request)))
        else:
            self._start(request)

    def _start(self, request: Request) -> None:
        """It is the request's turn."""
        if self.transport is not None and not self.transport.is_closing():
            # What the answer then waits for, such as a guard, takes no turn.
            self._host.turns.spend(_ANSWER)
            self.task = start(self._host.loop, self._serve(request))

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
        rest, self._rest = self._rest, b""
        self._is_session = True
        self.stop_timeout()
        self._host.start_session(self, session)
        try:
            self._tell(session.request, self.accepted)
            session.request.pack()
            life.start(transport, rest, route.listener)
            del transport  # the session may outlive it
            if route.listener is not None:
                await life.wait_closed()
            else:
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
                answer: Response | Session | None = await ask_http(
                    route, params, request, self._host.app, self._check_admission, self._receive
                )
            else:
                answer = await self._ask_for_session(route, params, request)
        except HandshakeRejected as error:
            answer = rejection(error)
        except Exception:
            logger.exception("answering %s failed", request.path)
            answer = internal_error()
        finally:
            self.uncount_body()
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
        rest, self._rest = self._rest, b""
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
        self._check_admission()

    def _check_admission(self) -> None:
        if self._admission is not None:
            self._admission.check()

    def _write_acceptance(self, request: Request, acceptance: Acceptance) -> None:
        """Accept the handshake."""
        raise NotImplementedError


def _shutting_down() -> HandshakeRejected:
    return HandshakeRejected(503, "the server is shutting down", {"Retry-After": "5"})


async def ask_http(
    route: Route,
    params: Mapping[str, Any],
    request: Request,
    app: Application,
    check_place: Callable[[], None],
    receive: Callable[[BodyReader], Awaitable[bytes]],
) -> Response:
    """The answer of a plain HTTP route. No body is read before the request may be answered.

    Args:
        route, params: Who answers.
        request: The request.
        app: The application, whose pages may send forms.
        check_place: Raises `HandshakeRejected` when a request with a body has no place.
        receive: Reads the body.

    Raises:
        HandshakeRejected: If it may not, or a guard or the handler says so.
    """
    body = None
    if request.method == "POST":
        check_place()
        check_page(request, app.options.origins)
        limit = app.server_options.max_body_size
        body = BodyReader(request.headers, request.version, limit)
    try:
        refusal = await ask_guards(route.guards, request)
        if refusal is not None:
            return refusal
        if body is not None:
            request.body = await receive(body)
    finally:
        if body is not None:
            body.close()
    result = route.handler(request, **params)
    if inspect.isawaitable(result):
        result = await result
    return as_response(result)
