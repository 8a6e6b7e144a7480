"""Offers, answers, fallbacks, conflicts: both roles, through what is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extensions import Append, Asking, Reverse, Split, claiming
from wsext import (
    RSV,
    Agreement,
    Codec,
    Extension,
    NegotiationContext,
    NegotiationError,
    Params,
    Phase,
    Verdict,
)
from wsext.protocol.negotiation import (
    aconfirm,
    anegotiate,
    confirm,
    make_offers,
    negotiate,
    offers_header,
    parse_offers,
)

SERVER = NegotiationContext("server", 1 << 20)
CLIENT = NegotiationContext("client", 1 << 20)


def answer(header: str | Sequence[str], *installed: Extension, prefer: str = "client") -> str:
    values = [header] if isinstance(header, str) else header
    return negotiate(parse_offers(values), installed, SERVER, prefer=prefer).header or ""


def verdicts(header: str, *installed: Extension) -> list[tuple[str, str, str]]:
    records = negotiate(parse_offers([header]), installed, SERVER).records
    return [(record.offer.name, record.verdict.value, record.reason) for record in records]


# --- the header's grammar ---------------------------------------------------------------------


def test_several_lines_quoted_values_and_empty_elements() -> None:
    offers = parse_offers(['a; x="1", , b;y', "  c ; z = 2 "])
    assert [str(offer) for offer in offers] == ["a; x=1", "b; y", "c; z=2"]


@pytest.mark.parametrize("item", ["a; x; x", "a; x=1; x=2"])
def test_a_wrong_offer_does_not_spoil_its_neighbours(item: str) -> None:
    offers = parse_offers([f"x-reverse, {item}"])
    assert offers[0].problem is None
    assert "duplicate" in str(offers[1].problem)
    assert answer(f"{item}, x-reverse", Reverse()) == "x-reverse"


NOT_OF_THE_GRAMMAR = [
    ";;;",
    "",
    " , ,",
    'a; x="1 2"',
    'a; x="',
    "a; =1",
    "a;",
    "a b",
    '"a"',
    "\x00",
]


@pytest.mark.parametrize("header", NOT_OF_THE_GRAMMAR)
def test_what_is_not_of_the_grammar_fails_in_both_roles(header: str) -> None:
    with pytest.raises(NegotiationError):
        parse_offers(["x-reverse", f"x-append, {header}"] if header.strip(" ,") else [header])
    with pytest.raises(NegotiationError):
        confirm(make_offers([Reverse()]), [header], [Reverse()], CLIENT)


def test_what_is_said_of_a_malformed_header_has_no_controls() -> None:
    with pytest.raises(NegotiationError) as caught:
        parse_offers(["\x9b2J"])
    assert str(caught.value).isprintable()


def test_no_header_is_no_offer() -> None:
    assert parse_offers([]) == []


def test_more_offers_than_the_limit_are_not_read() -> None:
    offers = parse_offers(["a," * 10_000], 32)
    assert len(offers) == 33
    assert "more than 32" in str(offers[-1].problem)


token = st.text(alphabet="abcdefgh-", min_size=1, max_size=8)
params = st.dictionaries(token, st.one_of(st.just(True), token, st.integers(0, 99)), max_size=4)


@given(st.lists(st.tuples(token, params), max_size=6))
def test_what_is_written_is_what_is_read(items: list[tuple[str, dict[str, object]]]) -> None:
    written = ", ".join(
        f"{name}; {Params(values)}" if values else name  # type: ignore[arg-type]
        for name, values in items
    )
    read = parse_offers([written] if items else [])
    assert [(offer.name, offer.params) for offer in read] == [
        (name, Params(values))  # type: ignore[arg-type]
        for name, values in items
    ]


@given(st.text(max_size=80))
def test_a_header_is_refused_or_nothing_unknown_is_agreed(header: str) -> None:
    try:
        offers = parse_offers([header])
    except NegotiationError:
        return
    outcome = negotiate(offers, [Append(), Reverse()], SERVER)
    assert {agreed.name for agreed in outcome.agreed} <= {"x-append", "x-reverse"}
    assert all(record.verdict in Verdict for record in outcome.records)


# --- server -----------------------------------------------------------------------------------


def test_the_next_offer_is_tried_when_one_is_declined() -> None:
    assert answer("x-append; suffix=forbidden, x-append", Append()) == "x-append; suffix=end"
    assert verdicts("x-append; suffix=forbidden, x-append; bogus=1, x-append", Append()) == [
        ("x-append", "declined", "that suffix is forbidden"),
        ("x-append", "declined", "unknown parameter 'bogus'"),
        ("x-append", "agreed", ""),
    ]


def test_a_second_offer_of_what_is_agreed_is_skipped() -> None:
    assert verdicts("x-reverse, x-reverse", Reverse())[1] == (
        "x-reverse",
        "skipped",
        "an earlier offer of it was agreed",
    )


def test_the_response_is_ordered_by_phase_then_by_the_offers() -> None:
    installed = (Split(), Append(), Reverse())
    assert answer("x-split, x-reverse, x-append", *installed) == (
        "x-reverse, x-append; suffix=end, x-split"
    )
    assert answer("x-append, x-split, x-reverse", *installed) == (
        "x-append; suffix=end, x-reverse, x-split"
    )


@pytest.mark.parametrize("bit", [RSV.RSV1, RSV.RSV2, RSV.RSV3])
def test_each_reserved_bit_goes_to_one_extension_and_the_reason_names_both(bit: RSV) -> None:
    first, second = claiming("x-one", bit)(), claiming("x-two", RSV.RSV1 | bit)()
    assert verdicts("x-one, x-two", first, second)[1] == (
        "x-two",
        "skipped",
        f"x-two needs {bit.name}, which is taken by x-one",
    )
    assert answer("x-two, x-one", first, second) == "x-two"


def test_opcodes_are_handed_out_too() -> None:
    class One(Extension):
        name: ClassVar[str] = "x-one"
        opcodes: ClassVar[frozenset[int]] = frozenset({3})

    class Two(One):
        name: ClassVar[str] = "x-two"

    assert "opcode 3" in verdicts("x-one, x-two", One(), Two())[1][2]


def test_prefer_server_takes_the_order_of_installation() -> None:
    one, two = claiming("x-one", RSV.RSV1)(), claiming("x-two", RSV.RSV1)()
    assert answer("x-two, x-one", one, two) == "x-two"
    assert answer("x-two, x-one", one, two, prefer="server") == "x-one"


def test_an_extension_that_fails_is_a_declined_offer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Extension):
        name: ClassVar[str] = "x-broken"

        def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
            raise ZeroDivisionError("secret")

    assert answer("x-broken, x-reverse", Broken(), Reverse()) == "x-reverse"
    assert "secret" not in str(verdicts("x-broken", Broken()))
    assert "x-broken" in caplog.text


@pytest.mark.parametrize("params", [None, "x=1", 7])
def test_an_answer_without_params_is_a_declined_offer(params: Any) -> None:
    closed = []

    class Careless(Extension):
        name: ClassVar[str] = "x-careless"

        def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
            codec = Codec()
            codec.close = lambda: closed.append(1)  # type: ignore[method-assign]
            return Agreement(codec, params)

    assert answer("x-careless, x-reverse", Careless(), Reverse()) == "x-reverse"
    assert closed == [1]


def test_an_undeclared_parameter_never_reaches_the_response() -> None:
    closed = []

    class Leaky(Extension):
        name: ClassVar[str] = "x-leaky"

        def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
            codec = Codec()
            codec.close = lambda: closed.append(1)  # type: ignore[method-assign]
            return Agreement(codec, Params(note="private"))

    assert answer("x-leaky", Leaky()) == ""
    assert closed == [1]


# --- client -----------------------------------------------------------------------------------


def confirmed(answer: str, *installed: Extension) -> str:
    outcome = confirm(make_offers(installed), [answer] if answer else [], installed, CLIENT)
    return outcome.header or ""


def test_offers_are_ordered_by_phase_with_every_alternative() -> None:
    offers = make_offers([Split(), Append(suffix="x", note="never sent"), Reverse()])
    assert offers_header(offers) == "x-append; suffix=x, x-append, x-reverse, x-split"


def test_the_client_takes_what_it_offered() -> None:
    assert confirmed("x-reverse, x-append; suffix=e", Append(), Reverse()) == (
        "x-reverse, x-append; suffix=e"
    )
    assert confirmed("", Append()) == ""


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("x-split", "not offered"),
        ("x-reverse, x-reverse", "twice"),
        ("x-reverse; a=1", "unknown parameter"),
        ("x-reverse; a; a", "duplicate"),
        ("x-append; suffix", "needs a value"),
        ("x-reverse, x-one", "x-one needs RSV3, which is taken by x-reverse"),
    ],
)
def test_an_answer_that_cannot_be_used_fails_the_handshake(answer: str, problem: str) -> None:
    with pytest.raises(NegotiationError, match=problem):
        confirmed(answer, Append(), Reverse(), claiming("x-one", RSV.RSV3)())


def test_codecs_of_a_failed_answer_are_closed() -> None:
    made: list[Codec] = []

    class Recording(Append):
        def confirm(
            self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
        ) -> Codec:
            made.append(super().confirm(offers, answer, ctx))
            return made[-1]

    with pytest.raises(NegotiationError):
        confirmed("x-append, x-what", Recording())
    assert [codec.closed for codec in made] == [1]  # type: ignore[attr-defined]


def test_an_undeclared_parameter_cannot_be_offered() -> None:
    class Leaky(Extension):
        name: ClassVar[str] = "x-leaky"
        phase: ClassVar[Phase] = Phase.WIRE

        def offers(self) -> Sequence[Params]:
            return [Params(level=6)]

    words = r"x-leaky: sends the parameter 'level', which is none of its wire parameters \(none\)"
    with pytest.raises(NegotiationError, match=rf"{words}: declare it with wire\(...\)"):
        make_offers([Leaky()])


def test_an_undeclared_parameter_in_an_answer_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Leaky(Append):
        def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
            return Agreement(self.make_codec(offer, ctx), Params(level=6))

    offers = parse_offers(["x-append"])
    assert not negotiate(offers, [Leaky()], SERVER).agreed
    assert "sends the parameter 'level', which is none of its wire parameters" in caplog.text


# --- asynchronous answers ---------------------------------------------------------------------


async def test_accept_and_confirm_may_be_asynchronous() -> None:
    installed = (Asking(), Reverse())
    offers = make_offers(installed)
    server = await anegotiate(offers, installed, SERVER)
    assert server.header == "x-asking, x-reverse"
    client = await aconfirm(offers, [server.header], installed, CLIENT)
    assert [agreed.name for agreed in client.agreed] == ["x-asking", "x-reverse"]


async def test_who_is_cancelled_while_an_extension_is_asked_leaves_no_codec_open() -> None:
    async def give_up(awaitable: Any) -> Any:
        awaitable.close()
        raise asyncio.CancelledError

    closed: list[int] = []
    first = Append()
    for run in (
        lambda: anegotiate(make_offers([first, Asking()]), [first, Asking()], SERVER, wait=give_up),
        lambda: aconfirm(
            make_offers([first, Asking()]),
            ["x-append, x-asking"],
            [first, Asking()],
            CLIENT,
            wait=give_up,
        ),
    ):
        made: list[Any] = []
        for name in ("accept", "confirm"):
            setattr(first, name, recording(getattr(Append(), name), made))
        with pytest.raises(asyncio.CancelledError):
            await run()
        closed += [codec.closed for codec in made]
    assert closed == [1, 1]


def recording(method: Any, made: list[Any]) -> Any:
    """A method that keeps the codecs that it makes."""

    def record(*arguments: Any) -> Any:
        answer = method(*arguments)
        made.append(answer.codec if isinstance(answer, Agreement) else answer)
        return answer

    return record


def test_where_nothing_can_be_awaited_it_is_declined_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    installed = (Asking(), Reverse())
    offers = make_offers(installed)
    assert negotiate(offers, installed, SERVER).header == "x-reverse"
    assert "x-asking: accept() failed" in caplog.text
    assert "is asynchronous, and nothing can be awaited here" in caplog.text
    with pytest.raises(NegotiationError, match="x-asking: the extension failed"):
        confirm(offers, ["x-asking"], installed, CLIENT)


@pytest.mark.parametrize("answer", [None, Codec, Agreement(Codec()), "codec"])
def test_a_confirm_that_gives_no_codec_fails_the_handshake(answer: Any) -> None:
    class Odd(Extension):
        name: ClassVar[str] = "x-odd"

        def confirm(self, offers: Any, answer_: Any, ctx: Any) -> Any:
            return answer

    with pytest.raises(NegotiationError, match="x-odd: the extension failed"):
        confirm(make_offers([Odd()]), ["x-odd"], [Odd()], CLIENT)


@pytest.mark.parametrize("offered", [None, 5, ["x"], [None], ValueError("no")])
def test_offers_that_are_none_are_an_error_of_ours(offered: Any) -> None:
    class Odd(Extension):
        name: ClassVar[str] = "x-odd"

        def offers(self) -> Any:
            if isinstance(offered, Exception):
                raise offered
            return offered

    with pytest.raises(NegotiationError, match="x-odd: the extension failed"):
        make_offers([Odd()])
