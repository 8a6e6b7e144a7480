"""Cases about negotiation, both roles (RFC 6455 §9.1)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from wsext.errors import NegotiationError
from wsext.protocol.agreement import Agreement, Declined, NegotiationContext, Verdict
from wsext.protocol.negotiation import (
    check_wire_params,
    confirm,
    make_offers,
    offers_header,
    parse_offers,
)
from wsext.protocol.params import Params
from wsext.testing.cases_base import EngineCases, edges, skip
from wsext.testing.corpus import FAR, SIMILAR, samples
from wsext.testing.engines import LIMIT, Engines, agree, free, negotiated, resolve

__all__ = ["NegotiationCases"]

_SERVER = NegotiationContext("server", LIMIT)
_CLIENT = NegotiationContext("client", LIMIT)
#: Messages that show whether both sides do what was agreed; the one in the middle needs the whole
#: window.
_TRIED = (*SIMILAR[:5], b"", FAR, *SIMILAR[8:16], SIMILAR[0] * 40)
_VALUES = ("0", "-1", "1", "7", "16", "007", "99999999999999999999", "x", "true", "%00", "1e3")


class NegotiationCases(EngineCases):
    """What a peer may rely on before the first frame."""

    def test_its_own_offers_are_accepted(self) -> None:
        """A server accepts at least one offer of a client with the same options, and the client
        takes the answer."""
        for variant in self.all_variants():
            one = self.make(**variant)
            with Engines([one], [self.make(**variant)]) as engines:
                assert engines.agreed, (
                    f"with {variant or 'the defaults'} no offer of "
                    f"{offers_header(make_offers([one]))!r} was accepted: {_reasons(engines)}"
                )

    def test_every_client_with_every_server(self) -> None:
        """Whatever the options of both sides are, they agree on something that works, or on
        nothing."""
        for ours, theirs in itertools.product(self.all_variants(), repeat=2):
            what = f"client {ours or 'default'}, server {theirs or 'default'}"
            try:
                engines = Engines([self.make(**ours)], [self.make(**theirs)])
            except NegotiationError as error:
                raise AssertionError(f"{what}: the client refuses the answer: {error}") from error
            with engines:
                for opcode, payload in samples("text and binary", _TRIED):
                    for sender in ("client", "server"):
                        self._check_message(engines, sender, opcode, payload, f"{what}: ")

    def test_only_wire_options_reach_a_header(self) -> None:
        """Offers and answers carry declared wire parameters and nothing else."""
        for variant in self.all_variants():
            one = self.make(**variant)
            for offer in one.offers():
                assert isinstance(offer, Params), f"offers() gave {offer!r}, not Params"
                check_wire_params(one, offer)
                answered = self._answer(one, offer)
                if answered is not None:
                    check_wire_params(one, answered)

    def test_fallback_in_every_order(self) -> None:
        """An offer that is declined, unknown or wrong leaves the next one its chance."""
        one = self.make()
        good = [f"{one.name}; {offer}" if offer else one.name for offer in one.offers()]
        bad = [f"{one.name}; kit-unknown=1", f"{one.name}; kit-a; kit-a", "x-kit-nothing"]
        for order in itertools.permutations([good[-1], *bad]):
            outcome = negotiated(parse_offers([", ".join(order)]), [one], _SERVER)
            assert [item.name for item in outcome.agreed] == [one.name], (
                f"the offers {', '.join(order)!r} were not answered: "
                f"{[str(record.reason) for record in outcome.records]}"
            )
            outcome.close()
        everything = ", ".join([*bad, *good])
        outcome = negotiated(parse_offers([everything]), [one], _SERVER)
        assert outcome.agreed, f"the offers {everything!r} were not answered"
        outcome.close()

    def test_unknown_parameters_are_declined(self) -> None:
        """A server declines an offer with a parameter that it does not know; a client refuses
        such an answer."""
        one = self.make()
        outcome = negotiated(parse_offers([f"{one.name}; kit-unknown"]), [one], _SERVER)
        outcome.close()
        assert not outcome.agreed, "a server accepted an unknown parameter"
        offers = make_offers([one])
        try:
            confirm(offers, [f"{one.name}; kit-unknown"], [one], _CLIENT).close()
        except NegotiationError:
            return
        raise AssertionError("a client took an answer with an unknown parameter")

    def test_malformed_values_raise_nothing_but_negotiation_errors(self) -> None:
        """No value of a parameter makes `accept` or `confirm` raise anything else than
        NegotiationError."""
        one = self.make()
        names = sorted(one.wire_params)
        if not names:
            skip("it has no wire parameters")
        tried = [Params([(name, value)]) for name in names for value in (None, *_VALUES)]
        tried += [
            Params([(name, value) for name, value in offer.items() if name != missing])
            for offer in one.offers()
            for missing in offer
        ]
        for params in (Params(), *tried):
            self._answer(one, params)
            self._confirms(one, params)

    def test_numbers_are_checked_against_their_bounds(self) -> None:
        """A wire number outside its declared bounds, or not a plain number, is declined in an offer
        and refused in an answer."""
        one = self.make()
        numbers = [field for field in self.fields() if field.wire and edges(field.bounds)]
        if not numbers:
            skip("it has no bounded numbers among its wire parameters")
        for field in numbers:
            low, high = edges(field.bounds)
            for value in (str(low - 1), str(high + 1), "x", f"0{low}", f"+{low}"):
                params = Params([(str(field.wire), value)])
                wrong = f"{field.wire}={value} (allowed: {field.bounds})"
                assert self._answer(one, params) is None, f"a server accepted {wrong}"
                assert not self._confirms(one, params), f"a client took the answer {wrong}"

    def test_flags_take_no_value(self) -> None:
        """A wire flag with a value is declined in an offer and refused in an answer."""
        one = self.make()
        flags = [str(field.wire) for field in self.fields() if field.wire and field.type == "bool"]
        if not flags:
            skip("it has no flags among its wire parameters")
        for name in flags:
            params = Params([(name, "1")])
            assert self._answer(one, params) is None, f"a server accepted {name}=1, a flag"
            assert not self._confirms(one, params), f"a client took the answer {name}=1, a flag"

    def test_a_client_reads_the_whole_answer(self) -> None:
        """A client looks at the value of every parameter of the answer: it has to do what was
        agreed, or to refuse it."""
        found = False
        for ours, theirs in itertools.product(self.all_variants(), repeat=2):
            client, server = self.make(**ours), self.make(**theirs)
            offers = client.offers()
            for offer in offers:
                answer = self._answer(server, offer)
                if not answer:
                    continue
                found, seen = True, _ReadParams(answer)
                if self._confirms(client, seen, offers):
                    ignored = ", ".join(sorted({*answer} - seen.read))
                    assert not ignored, f"confirm({str(answer)!r}) took no notice of {ignored}"
        if not found:
            skip("its answers have no parameters")

    def test_every_negotiation_makes_a_codec_of_its_own(self) -> None:
        """Two connections never share a codec."""
        one = self.make()
        first, second = agree([one], [one]), agree([one], [one])
        codecs = [item.codec for pair in (first, second) for side in pair for item in side.agreed]
        assert len({id(codec) for codec in codecs}) == 4, "a codec is used on two connections"
        for pair in (first, second):
            for side in pair:
                side.close()

    def _answer(self, one: Any, params: Params) -> Params | None:
        """The parameters with which a server accepts an offer, or ``None`` if it declines; any
        exception but a `NegotiationError` is a finding."""
        try:
            answer = resolve(one.accept(params, _SERVER))
        except NegotiationError:
            return None
        except Exception as error:
            raise AssertionError(
                f"accept({str(params)!r}) raised {type(error).__name__}: {error}; "
                "return Declined, or use the readers of Params"
            ) from error
        if isinstance(answer, Agreement):
            free(answer.codec)
            return answer.params
        assert isinstance(answer, Declined), (
            f"accept({str(params)!r}) returned {answer!r}, neither Agreement nor Declined"
        )
        return None

    def _confirms(self, one: Any, answer: Params, offers: Sequence[Params] = ()) -> bool:
        """Whether a client takes an answer; any exception but a `NegotiationError` is a finding."""
        try:
            codec = resolve(one.confirm(offers or one.offers(), answer, _CLIENT))
            free(codec)
        except NegotiationError:
            return False
        except Exception as error:
            raise AssertionError(
                f"confirm({str(answer)!r}) raised {type(error).__name__}: {error}; "
                "use the readers of Params"
            ) from error
        return True


class _ReadParams(Params):
    """Parameters that remember which of them were read."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str | None:
        self.read.add(name)
        return super().__getitem__(name)

    def flag(self, name: str) -> bool:
        self.read.add(name)
        return super().flag(name)

    def integer(self, name: str, low: int, high: int) -> int | None:
        self.read.add(name)
        return super().integer(name, low, high)

    def text(self, name: str) -> str | None:
        self.read.add(name)
        return super().text(name)

    def __str__(self) -> str:
        self.read |= {*self}
        return super().__str__()


def _reasons(engines: Engines) -> str:
    records = engines.on_server.records
    return "; ".join(record.reason for record in records if record.verdict is not Verdict.AGREED)
