"""The decision about an opening handshake: a request goes in, a decision comes out.

Every front asks here: HTTP/1.1, the streams of HTTP/2, uvicorn, and the servers of tests. What they
do with the decision is theirs. In this order:

    1. the request is a handshake at all (RFC 6455 §4.2.1, §9.1)    400, 405, 426, 501
    2. the front has a place for it                                 429, 503
    3. its page may connect (`WebSocketOptions.origins`)            403, 400
    4. the guards let it pass                                       what they say
    5. the plugins let it pass (`wsext_handshake`)                  what they say
    6. the peer's identity has not expired (`Request.expires`)      401
    7. there still is a place, for guards may have taken their time 429, 503
    8. both sides speak a subprotocol                               400
    9. the extensions that are asked answer, and those that are     400
       required are agreed; one of them may resume a session
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wsext.app.routing import Guard, as_response
from wsext.errors import HandshakeRejected, NegotiationError
from wsext.escape import get_logger
from wsext.protocol.agreement import Negotiation, NegotiationContext, Offer
from wsext.protocol.boundary import FAULTS, Boundary
from wsext.protocol.handshake import (
    check_upgrade,
    offered_subprotocols,
    select_subprotocol,
)
from wsext.protocol.http import Request, Response, rejection
from wsext.protocol.negotiation import anegotiate, find_missing, parse_offers
from wsext.protocol.origins import check_origin
from wsext.runtime.expiry import EXPIRED, seconds_left
from wsext.runtime.patience import Patience, close_rest
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.installed import Installed

__all__ = ["Acceptance", "Terms", "ask_guards", "check_page", "decide", "internal_error"]

logger = get_logger("wsext.server")

#: The negotiation of a peer that offers no extension.
_NOTHING = Negotiation()

#: What a peer is told to bring: something that has not expired (RFC 6750 §3.1).
_CHALLENGE = 'Bearer error="invalid_token"'


def _always() -> None:
    """There is always a place."""


class Patient(Protocol):
    """What waits for the answers of extensions; a `Patience` is it."""

    async def wait(self, awaitable: Awaitable[Any]) -> Any: ...


@dataclass(slots=True)
class Terms:
    """What a handshake is judged by.

    Attributes:
        options: The options of the session that it asks for.
        installed: The extensions and plugins that are in force.
        subprotocols: What is spoken here, in the order of preference; empty accepts any offer
            without choosing one, and ``None`` leaves the choice to the application.
        guards: Asked in this order.
        check_place: Raises `HandshakeRejected` when there is no place; asked twice.
        max_offers: Extension offers beyond this number are ignored.
        worker: The worker that decides; empty without workers.
        patience: Makes what waits for the extensions, for so many seconds at most.
        close_rest: Closes codecs whose `close` is asynchronous.
    """

    options: WebSocketOptions
    installed: Installed
    subprotocols: Sequence[str] | None = ()
    guards: Sequence[Guard] = ()
    check_place: Callable[[], None] = _always
    max_offers: int = 32
    worker: str = ""
    patience: Callable[[float], Patient] = Patience
    close_rest: Callable[[Sequence[Boundary], WebSocketOptions], Awaitable[None]] = close_rest


@dataclass(slots=True)
class Acceptance:
    """The handshake is accepted. Whoever makes no session of it closes ``negotiation``.

    Attributes:
        negotiation: The extensions in use, with their codecs.
        subprotocol: The subprotocol in use, or ``None``.
        session: The session that is resumed; ``None`` for a new one.
    """

    negotiation: Negotiation
    subprotocol: str | None
    session: Session | None = None


async def decide(request: Request, terms: Terms) -> Acceptance | Response:
    """Decide about a handshake: accept it, or answer it with this response.

    Never raises: what fails here is logged and becomes a 500 that tells nothing.
    """
    try:
        return await _decide(request, terms)
    except HandshakeRejected as error:
        return rejection(error)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        logger.exception("a guard or hook for %s has cancelled itself", request.path)
        return Response(503, "the server cannot decide about this request\n")
    except FAULTS:
        logger.exception("deciding about a handshake for %s failed", request.path)
        return internal_error()


def _is_cancelled() -> bool:
    """Whether somebody has cancelled this task; trio cancels nothing by asyncio's exception."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return False
    return task is None or task.cancelling() > 0


async def _decide(request: Request, terms: Terms) -> Acceptance | Response:
    check_upgrade(request)
    offers = _offered_extensions(request, terms.max_offers)
    spoken = offered_subprotocols(request)
    terms.check_place()
    check_page(request, terms.options.origins)
    refusal = await ask_guards(terms.guards, request) or await terms.installed.refusal(request)
    if refusal is not None:
        return refusal
    if request.expires is not None and not seconds_left(request.expires):
        raise HandshakeRejected(401, EXPIRED, {"WWW-Authenticate": _CHALLENGE})
    terms.check_place()
    chosen = None if terms.subprotocols is None else select_subprotocol(spoken, terms.subprotocols)
    return await _agree(request, offers, chosen, terms)  # nothing may fail after it


def check_page(request: Request, origins: Sequence[str] | None) -> None:
    """Check which page asks; of one that may not, the request keeps for the log why.

    Raises:
        HandshakeRejected: 403.
    """
    try:
        check_origin(request, origins)
    except HandshakeRejected:
        origin, allowed = request.origin or "no origin", _describe(origins or (), request)
        request.refused = f"a page of {origin:.200} may not connect: origins allows {allowed}"
        raise


def _describe(origins: Sequence[str], request: Request) -> str:
    """The pages that may connect, for an operator whose own page is not among them."""
    own = f"same, here {'https' if request.secure else 'http'}://{request.host[:200]}"
    shown = ", ".join(own if origin == "same" else origin for origin in origins)
    if (request.origin or "").startswith("https:") and not request.secure:
        shown += " (who has the certificate must be in trusted_proxies, and send X-Forwarded-Proto)"
    return shown


def _offered_extensions(request: Request, limit: int) -> list[Offer]:
    try:
        return parse_offers(request.headers.get_all("Sec-WebSocket-Extensions"), limit)
    except NegotiationError:
        raise HandshakeRejected(400, "malformed Sec-WebSocket-Extensions header") from None


async def ask_guards(guards: Iterable[Guard], request: Request) -> Response | None:
    """The response of the first guard that does not let a request pass.

    Raises:
        HandshakeRejected: If a guard does.
    """
    for guard in guards:
        result = guard(request)
        if inspect.isawaitable(result):
            result = await result
        if result is not None:
            return as_response(result)
    return None


async def _agree(
    request: Request, offers: Sequence[Offer], subprotocol: str | None, terms: Terms
) -> Acceptance:
    """Agree on extensions, one of which may resume a session.

    Raises:
        HandshakeRejected: 400 if an extension is not agreed that is required; 503 if the session
            cannot be resumed after all.
    """
    installed, options = terms.installed, terms.options
    negotiation = await _negotiate(request, offers, terms) if offers else _NOTHING
    try:
        session = _find_session(negotiation) if offers else None
        required = installed.required
        if session is not None:  # what was sent through a cipher is not sent again without it
            required = (*required, *(agreed.name for agreed in session.extensions))
        missing = find_missing(required, negotiation)
        if missing is not None:
            raise HandshakeRejected(400, f"the extension {missing} is required here")
    except HandshakeRejected:
        await terms.close_rest(negotiation.close(), options)
        raise
    if session is None:
        return Acceptance(negotiation, subprotocol)
    return Acceptance(negotiation, session.subprotocol, session)


async def _negotiate(request: Request, offers: Sequence[Offer], terms: Terms) -> Negotiation:
    installed, options = terms.installed, terms.options
    ctx = NegotiationContext("server", options.max_message_size, request, worker=terms.worker)
    chosen = installed.choose_offers(request, offers)
    prefer = options.prefer if chosen is None else "client"
    wait = terms.patience(options.negotiation_timeout).wait
    return await anegotiate(
        offers if chosen is None else chosen, installed.extensions, ctx, prefer=prefer, wait=wait
    )


def _find_session(negotiation: Negotiation) -> Session | None:
    """The session that is resumed; ``None`` for a new one.

    Raises:
        HandshakeRejected: 503 if it has ended since the extension found it, or another handshake
            has asked for it since.
    """
    journal = negotiation.journal
    if journal is None or not journal.is_started:
        return None
    session: Session | None = journal.session
    if session is None or all(journal.claim is not item.codec for item in negotiation.agreed):
        raise HandshakeRejected(503, "the session cannot be resumed now", {"Retry-After": "1"})
    return session


def internal_error() -> Response:
    """The answer when something failed; what it was is only logged."""
    return Response(500, "internal server error\n")
