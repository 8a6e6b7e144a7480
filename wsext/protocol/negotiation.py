"""Negotiation of extensions, both roles (RFC 6455 §9.1).

A header that is not of the RFC's grammar fails the handshake, in both roles. Server: offers are
tried in the client's order against what is installed; an offer that is unknown, wrong or declined
leaves the next one its chance; reserved bits and opcodes are handed out, and who comes late is
skipped with both names in the reason. Client: the answer has to be one that was asked for.

The order of the response is the order of operations: with ``foo, bar`` outgoing data is
``bar(foo(data))`` and incoming data goes through the inverses, backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from websockets.exceptions import InvalidHeader
from websockets.headers import parse_extension

from wsext.errors import NegotiationError
from wsext.escape import escape
from wsext.protocol.agreement import (
    Agreed,
    Agreement,
    Declined,
    ExtensionLike,
    Negotiation,
    NegotiationContext,
    Offer,
    OfferRecord,
    Verdict,
)
from wsext.protocol.boundary import (
    Steps,
    Wait,
    afinish,
    ask,
    can_be_closed,
    check_codec,
    close_after,
    contained,
    finish,
)
from wsext.protocol.codes import RSV
from wsext.protocol.params import Params

__all__ = [
    "aconfirm",
    "anegotiate",
    "confirm",
    "find_missing",
    "make_offers",
    "negotiate",
    "offers_header",
    "parse_offers",
    "shared_claim",
]

#: The most characters of an offer that is kept, so that it is read only once.
_BARE = 64

# --- the header's grammar ---------------------------------------------------------------------


def _split_items(value: str) -> Iterable[str]:
    """Split a header's value at the commas outside quoted strings, in one pass."""
    start = 0
    quoted = escaped = False
    for at, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            yield value[start:at]
            start = at + 1
    yield value[start:]


def parse_offers(values: Sequence[str], limit: int = 32) -> list[Offer]:
    """The extensions of all ``Sec-WebSocket-Extensions`` lines, in order.

    An item that is of the grammar and still cannot be used (a parameter that comes twice) becomes
    an `Offer` with its `problem`, so that its neighbours still count.

    Args:
        values: The values of the header lines; none for a message without the header.
        limit: Items beyond this number are not read; one last record says so.

    Raises:
        NegotiationError: If the header is not of the grammar of RFC 6455 §9.1: the handshake has to
            fail then.
    """
    offers: list[Offer] = []
    for value in values:
        for raw in _split_items(value):
            item = raw.strip(" \t")
            if not item:  # RFC 9110 §5.6.1: empty list elements are ignored
                continue
            if len(offers) == limit:
                offers.append(Offer("…", problem=f"more than {limit} offers; the rest is ignored"))
                return offers
            offers.append(_parse_item(item))
    if values and not offers:
        raise NegotiationError("Sec-WebSocket-Extensions names no extension")
    return offers


def _parse_item(item: str) -> Offer:
    # Most offers are that short, and the same from all clients. A value may be a secret.
    return _parse_bare(item) if len(item) <= _BARE and "=" not in item else _parse(item)


def _parse(item: str) -> Offer:
    try:
        ((token, pairs),) = parse_extension(item)
    except InvalidHeader as error:
        raise NegotiationError(escape(str(error))[:200]) from None
    try:
        return Offer(str(token), Params(pairs))
    except ValueError as error:
        return Offer(str(token), problem=str(error)[:200])


_parse_bare = lru_cache(128)(_parse)


# --- server -----------------------------------------------------------------------------------


def _find_conflict(extension: ExtensionLike, agreed: Iterable[Agreed]) -> str | None:
    """Who holds what ``extension`` claims, as a sentence that names both; or ``None``."""
    for item in agreed:
        what = shared_claim(item.extension, extension)
        if what:
            return f"{extension.name} needs {what}, which is taken by {item.name}"
    return None


def shared_claim(first: ExtensionLike, second: ExtensionLike) -> str | None:
    """What two extensions both claim (``RSV1``, ``opcode 3``), or ``None``."""
    bits = RSV(first.rsv & second.rsv)
    if bits:
        return bits.names()
    codes = sorted(first.opcodes & second.opcodes)
    return f"opcode {', '.join(map(str, codes))}" if codes else None


def check_wire_params(extension: ExtensionLike, params: Params) -> None:
    """Refuse parameters that the extension did not declare as wire parameters.

    Raises:
        NegotiationError: So that a local option can never reach a header.
    """
    for name in params:
        if name not in extension.wire_params:
            known = ", ".join(sorted(extension.wire_params)) or "none"
            problem = (
                f"sends the parameter {name!r}, which is none of its wire parameters ({known}): "
                "declare it with wire(...) in its option set, or in extra_wire_params"
            )
            raise NegotiationError(problem, extension.name)


def negotiate(
    offers: Sequence[Offer],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
    *,
    prefer: str = "client",
) -> Negotiation:
    """Server side: choose among a client's offers. Never raises, whatever the client has sent and
    whatever an extension does. An extension whose `accept` is asynchronous is declined here.

    Args:
        offers: From `parse_offers`, in the order in which they are to be tried.
        installed: The configured extensions, in the order of installation.
        ctx: What the extensions may know.
        prefer: ``"client"`` tries the offers as they come; ``"server"`` in the order of
            installation, alternatives of one extension still in the client's order.
    """
    return finish(_negotiate(offers, installed, ctx, prefer))


async def anegotiate(
    offers: Sequence[Offer],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
    *,
    prefer: str = "client",
    wait: Wait | None = None,
) -> Negotiation:
    """`negotiate` where an `accept` may be asynchronous; ``wait`` awaits what it returned."""
    return await afinish(_negotiate(offers, installed, ctx, prefer), wait)


def _negotiate(
    offers: Sequence[Offer],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
    prefer: str,
) -> Steps[Negotiation]:
    by_name = {extension.name: extension for extension in installed}
    if prefer == "server":
        rank = {extension.name: at for at, extension in enumerate(installed)}
        offers = sorted(offers, key=lambda offer: rank.get(offer.name, len(rank)))
    records: list[OfferRecord] = []
    agreed: list[Agreed] = []
    try:
        for each in offers:
            offer = _hidden(each, by_name)
            verdict, reason, won = yield from _try_offer(offer, by_name, agreed, ctx)
            records.append(OfferRecord(offer, verdict, reason))
            if won is not None:
                agreed.append(won)
    except BaseException as error:  # whoever waited for the negotiation has gone
        yield from close_after(error, *[item.boundary for item in agreed])
        raise
    agreed.sort(key=lambda item: item.extension.phase)  # stable: then the order of the offers
    return Negotiation(_tried(records), tuple(agreed))


def _tried(records: list[OfferRecord]) -> tuple[OfferRecord, ...]:
    """The records of a negotiation. Those of one short offer that was agreed are the same for all
    sessions, so they share them."""
    if len(records) == 1 and records[0].verdict is Verdict.AGREED and not records[0].offer.params:
        return _agreed_alone(records[0].offer.name)
    return tuple(records)


@lru_cache(32)
def _agreed_alone(name: str) -> tuple[OfferRecord, ...]:
    return (OfferRecord(Offer(name), Verdict.AGREED),)


def _hidden(offer: Offer, by_name: Mapping[str, ExtensionLike]) -> Offer:
    """An offer, or an answer, whose secret parameters are shown to nobody."""
    extension = by_name.get(offer.name)
    if extension is None or not extension.secret_params:
        return offer
    params = offer.params.hide(extension.secret_params)
    return offer if params is offer.params else Offer(offer.name, params, offer.problem)


def _try_offer(
    offer: Offer,
    by_name: dict[str, ExtensionLike],
    agreed: list[Agreed],
    ctx: NegotiationContext,
) -> Steps[tuple[Verdict, str, Agreed | None]]:
    if offer.problem is not None:
        return Verdict.MALFORMED, offer.problem, None
    extension = by_name.get(offer.name)
    if extension is None:
        return Verdict.SKIPPED, "not installed", None
    if any(item.name == offer.name for item in agreed):
        return Verdict.SKIPPED, "an earlier offer of it was agreed", None
    conflict = _find_conflict(extension, agreed)
    if conflict:
        return Verdict.SKIPPED, conflict, None
    try:
        offer.params.only(*extension.wire_params)
        answer = yield from ask(extension, "accept", (offer.params, ctx), ctx)
        with contained(extension, "accept", ctx):
            if isinstance(answer, Declined):
                return Verdict.DECLINED, str(answer.reason), None
            if not isinstance(answer, Agreement):
                raise TypeError(f"returned {answer!r}, not an Agreement or Declined")
            won = yield from _agreed(extension, answer.params, answer.codec, ctx)
            return Verdict.AGREED, "", won
    except NegotiationError as error:
        return Verdict.DECLINED, str(error.problem), None


# --- both -------------------------------------------------------------------------------------


def _agreed(
    extension: ExtensionLike, params: Params, codec: Any, ctx: NegotiationContext
) -> Steps[Agreed]:
    """What an extension has agreed to, checked; its codec is closed if it cannot be used.

    Raises:
        TypeError, NegotiationError: If codec or parameters cannot be used.
    """
    if isinstance(params, Params):
        params = params.hide(extension.secret_params)
    agreed = Agreed(extension, params, codec)
    try:
        check_codec(codec, ctx.max_message_size)
        if not isinstance(params, Params):
            raise TypeError(f"agreed with {type(params).__name__} as parameters, not Params")
        try:
            check_wire_params(extension, params)
        except NegotiationError as error:
            raise TypeError(error.problem) from None  # of the extension, not of what was offered
        codec.rsv = extension.rsv
    except BaseException as error:
        if can_be_closed(codec):
            yield from close_after(error, agreed.boundary)
        raise
    return agreed


# --- client -----------------------------------------------------------------------------------


def make_offers(installed: Iterable[ExtensionLike], session: Any = None) -> list[Offer]:
    """Client side: every extension's offers, by phase, then in the order of installation.

    Args:
        installed: The extensions.
        session: The session that comes back, if one does.

    Raises:
        NegotiationError: If an extension fails, or offers a parameter that it did not declare.
    """
    offers = []
    context = NegotiationContext("client", 0, session=session)
    for extension in sorted(installed, key=lambda item: item.phase):
        method = "offers" if session is None else "resume_offers"
        with contained(extension, method, context):
            asked = extension.offers() if session is None else extension.resume_offers(session)
            for params in asked:
                if not isinstance(params, Params):
                    raise TypeError(f"gave {type(params).__name__} as an offer, not Params")
                check_wire_params(extension, params)
                offers.append(Offer(extension.name, params.hide(extension.secret_params)))
    return offers


def offers_header(offers: Iterable[Offer]) -> str | None:
    """The value of the request's ``Sec-WebSocket-Extensions``, or ``None`` for no header."""
    return ", ".join(offer.header for offer in offers) or None


def confirm(
    offers: Sequence[Offer],
    values: Sequence[str],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
) -> Negotiation:
    """Client side: check the server's answer and make the codecs (RFC 6455 §4.1).

    Raises:
        NegotiationError: If the answer is malformed, was not offered, comes twice, makes two
            extensions share a reserved bit or opcode, or an extension fails or cannot use it.
            Codecs that were made are closed. An asynchronous `confirm` counts as a failure here.
    """
    return finish(_confirm(offers, values, installed, ctx))


async def aconfirm(
    offers: Sequence[Offer],
    values: Sequence[str],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
    *,
    wait: Wait | None = None,
) -> Negotiation:
    """`confirm` where that of an extension may be asynchronous; ``wait`` awaits what it returned.

    Raises:
        NegotiationError: As `confirm`.
    """
    return await afinish(_confirm(offers, values, installed, ctx), wait)


def _confirm(
    offers: Sequence[Offer],
    values: Sequence[str],
    installed: Sequence[ExtensionLike],
    ctx: NegotiationContext,
) -> Steps[Negotiation]:
    by_name = {extension.name: extension for extension in installed}
    offered: dict[str, list[Params]] = {}
    for offer in offers:
        offered.setdefault(offer.name, []).append(offer.params)
    agreed: list[Agreed] = []
    try:
        for each in parse_offers(values):
            answer = _hidden(each, by_name)
            agreed.append((yield from _confirm_one(answer, by_name, offered, agreed, ctx)))
    except BaseException as error:
        yield from close_after(error, *[item.boundary for item in agreed])
        raise
    records = []
    names = {item.name: item for item in agreed}
    for offer in offers:
        if offer.name in names:
            records.append(OfferRecord(offer, Verdict.AGREED, f"answer: {names[offer.name]}"))
        else:
            records.append(OfferRecord(offer, Verdict.DECLINED, "not in the server's answer"))
    return Negotiation(tuple(records), tuple(agreed))


def _confirm_one(
    answer: Offer,
    by_name: dict[str, ExtensionLike],
    offered: dict[str, list[Params]],
    agreed: list[Agreed],
    ctx: NegotiationContext,
) -> Steps[Agreed]:
    name = answer.name
    if answer.problem is not None:
        raise NegotiationError(f"the server's answer is malformed: {answer.problem}", name)
    if name not in offered:
        raise NegotiationError("the server answered an extension that was not offered", name)
    if any(item.name == name for item in agreed):
        raise NegotiationError("the server answered it twice", name)
    extension = by_name[name]
    conflict = _find_conflict(extension, agreed)
    if conflict:
        raise NegotiationError(conflict, name)
    try:
        answer.params.only(*extension.wire_params)
        arguments = offered[name], answer.params, ctx
        codec = yield from ask(extension, "confirm", arguments, ctx)
        with contained(extension, "confirm", ctx):
            return (yield from _agreed(extension, answer.params, codec, ctx))
    except NegotiationError as error:
        error.extension = name
        raise


def find_missing(required: Iterable[str], negotiation: Negotiation) -> str | None:
    """The first required extension that was not agreed, or ``None``."""
    names = {agreed.name for agreed in negotiation.agreed}
    return next((name for name in required if name not in names), None)
