"""The decision about a handshake, without a server: a request in, an answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.extensions import Append, Reverse
from wsext import (
    Agreement,
    App,
    Extension,
    HandshakeRejected,
    Headers,
    NegotiationContext,
    Offer,
    Params,
    Request,
    Response,
    WebSocketOptions,
    hookimpl,
)
from wsext.server.decision import Acceptance, Terms, decide

GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(version: str = "HTTP/1.1", **more: str) -> Request:
    headers = Headers()
    for name, value in {**GOOD, **{key.replace("_", "-"): more[key] for key in more}}.items():
        headers[name] = value
    protocol = "websocket" if version == "HTTP/2" else None
    return Request("GET", "/", headers, version=version, protocol=protocol)


def terms(*installed: Any, required: Any = None, **more: Any) -> Terms:
    app = App()
    for item in installed:
        app.install(item)
    if required is not None:
        app.install(required, required=True)
    options = more.pop("options", WebSocketOptions())
    return Terms(options, app.installed, **more)


async def accepted(request: Request, terms: Terms) -> Acceptance:
    decision = await decide(request, terms)
    assert isinstance(decision, Acceptance), decision
    return decision


async def status(request: Request, terms: Terms) -> int:
    decision = await decide(request, terms)
    assert isinstance(decision, Response), decision
    return decision.status


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_a_good_request_is_accepted_with_what_is_agreed(version: str) -> None:
    asked = request(
        version,
        Sec_WebSocket_Extensions="x-unknown, x-reverse",
        Sec_WebSocket_Protocol="v1, v2",
    )
    decision = await accepted(asked, terms(Append, Reverse, subprotocols=("v2", "v1")))
    assert decision.negotiation.header == "x-reverse"
    assert decision.subprotocol == "v2"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("header", [";;;", "", "x-reverse; =", "x-reverse, ;", 'x-reverse; a="'])
async def test_an_extensions_header_that_is_none_is_400(version: str, header: str) -> None:
    asked = request(version, Sec_WebSocket_Extensions=header)
    assert await status(asked, terms(Reverse)) == 400


@pytest.mark.parametrize(
    "offers", ["x-unknown", "x-reverse; a", "x-reverse; a; a", "x-reverse; a=1; a=1", "!#$"]
)
async def test_an_offer_that_is_unknown_or_wrong_is_declined(offers: str) -> None:
    asked = request(Sec_WebSocket_Extensions=offers)
    assert (await accepted(asked, terms(Reverse))).negotiation.agreed == ()
    both = request(Sec_WebSocket_Extensions=f"{offers}, x-reverse")
    assert (await accepted(both, terms(Reverse))).negotiation.header == "x-reverse"


async def test_offers_beyond_the_limit_are_ignored() -> None:
    asked = request(Sec_WebSocket_Extensions="x-a, x-b, x-reverse, ;;;")
    decision = await accepted(asked, terms(Reverse, max_offers=2))
    assert decision.negotiation.agreed == ()
    decision = await accepted(asked, terms(Reverse, max_offers=3))
    assert decision.negotiation.header == "x-reverse"


@pytest.mark.parametrize("protocols", [";;;", "", "v1 v2"])
@pytest.mark.parametrize("subprotocols", [(), ("v1",), None])
async def test_a_subprotocols_header_that_is_none_is_400(protocols: str, subprotocols: Any) -> None:
    asked = request(Sec_WebSocket_Protocol=protocols)
    assert await status(asked, terms(subprotocols=subprotocols)) == 400


@pytest.mark.parametrize(
    ("spoken", "offered", "chosen"), [((), "v1", None), (None, "v1", None), (("v1",), "v1", "v1")]
)
async def test_who_chooses_the_subprotocol(spoken: Any, offered: str, chosen: str | None) -> None:
    asked = request(Sec_WebSocket_Protocol=offered)
    assert (await accepted(asked, terms(subprotocols=spoken))).subprotocol == chosen


async def test_no_common_subprotocol_is_400() -> None:
    asked = request(Sec_WebSocket_Protocol="v9")
    assert await status(asked, terms(subprotocols=("v1",))) == 400


async def test_a_required_extension_is_agreed_or_the_codecs_of_the_others_are_closed() -> None:
    asked = request(Sec_WebSocket_Extensions="x-append, x-reverse")
    assert (await accepted(asked, terms(Append, required=Reverse))).negotiation.agreed
    made: list[Any] = []

    class Recording(Append):
        def accept(self, offer: Params, ctx: NegotiationContext) -> Any:
            answer = super().accept(offer, ctx)
            made.append(answer)
            return answer

    asked = request(Sec_WebSocket_Extensions="x-append")
    assert await status(asked, terms(Recording, required=Reverse)) == 400
    assert [answer.codec.closed for answer in made] == [1]


class Steps:
    """Guards, hooks and a place that note when they are asked, and refuse when they are told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.place_after = 99

    def check_place(self) -> None:
        self.asked.append("place")
        if len(self.asked) > self.place_after:
            raise HandshakeRejected(503, "full")

    def guard(self, answer: Any = None) -> Callable[[Request], Any]:
        def ask(request: Request) -> Any:
            self.asked.append("guard")
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    @hookimpl
    async def wsext_handshake(self, request: Request) -> Response | None:
        self.asked.append("hook")
        return None


async def test_the_order_of_the_steps() -> None:
    steps = Steps()
    judged = terms(steps, guards=[steps.guard(), steps.guard()], check_place=steps.check_place)
    await accepted(request(), judged)
    assert steps.asked == ["place", "guard", "guard", "hook", "place"]
    steps.asked.clear()
    assert await status(request(Origin="http://evil.example"), judged) == 403
    assert steps.asked == ["place"]
    steps.asked.clear()
    assert await status(request(Sec_WebSocket_Extensions=";;;"), judged) == 400
    assert steps.asked == []


@pytest.mark.parametrize("place_after", [0, 1])
async def test_the_place_may_be_gone_before_or_after_the_guards(place_after: int) -> None:
    steps = Steps()
    steps.place_after = place_after
    judged = terms(guards=[steps.guard()], check_place=steps.check_place)
    assert await status(request(), judged) == 503


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response(401, "who?"), 401),
        ("text", 200),
        (HandshakeRejected(418), 418),
        (ValueError("secret"), 500),
        (object(), 500),
    ],
)
async def test_a_guard_answers_instead(answer: Any, expected: int) -> None:
    assert await status(request(), terms(guards=[Steps().guard(answer)])) == expected


@pytest.mark.parametrize("answer", ["no", 5, object()])
async def test_a_hook_that_answers_nonsense_lets_nobody_in(answer: Any) -> None:
    class Nonsense:
        @hookimpl
        def wsext_handshake(self, request: Request) -> Any:
            return answer

    assert await status(request(), terms(Nonsense())) == 503


@pytest.mark.parametrize("answer", [5, "text", [1], [None], ValueError("secret")])
async def test_a_negotiating_hook_that_fails_or_answers_nonsense_is_ignored(answer: Any) -> None:
    class Nonsense:
        @hookimpl
        def wsext_negotiate(self, offers: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    asked = request(Sec_WebSocket_Extensions="x-reverse")
    decision = await accepted(asked, terms(Reverse, Nonsense()))
    assert decision.negotiation.header == "x-reverse"


async def test_a_negotiating_hook_chooses_the_offers() -> None:
    class OnlyLast:
        @hookimpl
        def wsext_negotiate(self, offers: list[Offer]) -> list[Offer]:
            return offers[-1:]

    asked = request(Sec_WebSocket_Extensions="x-reverse, x-append")
    decision = await accepted(asked, terms(Append, Reverse, OnlyLast()))
    assert decision.negotiation.header == "x-append; suffix=end"


NO_CODEC: Any = None


@pytest.mark.parametrize("answer", [None, "yes", Agreement(NO_CODEC), ValueError("secret")])
async def test_no_extension_can_cause_a_500(answer: Any) -> None:
    class Odd(Extension):
        name: ClassVar[str] = "x-odd"

        def accept(self, offer: Params, ctx: NegotiationContext) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    asked = request(Sec_WebSocket_Extensions="x-odd, x-reverse")
    decision = await accepted(asked, terms(Odd, Reverse))
    assert decision.negotiation.header == "x-reverse"


@pytest.mark.parametrize(
    ("secure", "origin", "origins", "line"),
    [
        (
            False,
            "https://example.com",
            ("same", "https://other.example"),
            "a page of https://example.com may not connect: origins allows same, here "
            "http://example.com, https://other.example (who has the certificate must be in "
            "trusted_proxies, and send X-Forwarded-Proto)",
        ),
        (
            True,
            "https://evil.example",
            ("same",),
            "a page of https://evil.example may not connect: origins allows same, here "
            "https://example.com",
        ),
        (
            False,
            None,
            ("https://other.example",),
            "a page of no origin may not connect: origins allows https://other.example",
        ),
    ],
)
async def test_the_log_is_told_which_page_may_not_connect_and_which_may(
    secure: bool, origin: str | None, origins: tuple[str, ...], line: str
) -> None:
    asked = request(**({} if origin is None else {"Origin": origin}))
    asked.secure = secure
    assert await status(asked, terms(options=WebSocketOptions(origins=origins))) == 403
    assert asked.refused == line
