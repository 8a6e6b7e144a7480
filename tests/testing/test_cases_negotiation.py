"""The cases about negotiation catch extensions that are each wrong in one way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.testing.mutants import Mutants, Pack, PackCodec
from wsext import (
    Agreement,
    Codec,
    Declined,
    NegotiationContext,
    Params,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


# --- a server ---------------------------------------------------------------------------------


@caught_by("test_unknown_parameters_are_declined")
class TakesEverything(Pack):
    """Knows every parameter."""

    extra_wire_params: ClassVar[frozenset[str]] = frozenset({"kit-unknown"})


@caught_by("test_flags_take_no_value")
class FlagWithValue(Pack):
    """Takes a flag with any value."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return self.agree(offer.integer("bits", 9, 15) or 15, "sum" in offer)


@caught_by("test_numbers_are_checked_against_their_bounds")
class AnyNumber(Pack):
    """Clamps a number instead of declining it."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        text = offer.get("bits") or "15"
        bits = int(text) if text.isdigit() else 15
        return self.agree(max(9, min(bits, 15)), offer.flag("sum"))


@caught_by("test_malformed_values_raise_nothing_but_negotiation_errors")
class IntOfAnything(Pack):
    """Reads a number with int()."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return self.agree(max(9, min(int(offer.get("bits") or 15), 15)), offer.flag("sum"))


@caught_by("test_malformed_values_raise_nothing_but_negotiation_errors")
class NeedsItsOwnOffer(Pack):
    """Takes for granted that an offer names the window."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        if offer["bits"] is None:
            return Declined("no window")
        return super().accept(offer, ctx)


@caught_by("test_malformed_values_raise_nothing_but_negotiation_errors")
class AnswersNothing(Pack):
    """Returns None for what it does not like."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Any:
        return super().accept(offer, ctx) if offer.integer("bits", 9, 15) else None


@caught_by("test_every_client_with_every_server")
class ForgetsItsAnswer(Pack):
    """Answers one thing and does another."""

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        return Agreement(
            self.codec(self.options, bits, False),  # type: ignore[arg-type]
            Params(bits=bits, sum=checksum),
        )


@caught_by("test_every_client_with_every_server")
class IgnoresTheOffer(Pack):
    """Answers a larger window than the client has."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return self.agree(self.options.bits, offer.flag("sum"))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        answer.integer("bits", 9, self.options.bits)
        return super().confirm(offers, answer, ctx)


@caught_by("test_every_negotiation_makes_a_codec_of_its_own")
class OneCodec(Pack):
    """One codec for all connections."""

    def setup(self) -> None:
        self.only = PackCodec(self.options, 15, False)

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Agreement(self.only)

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.only


@caught_by("test_its_own_offers_are_accepted")
class DeclinesItself(Pack):
    """Declines everything."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Declined("no")


@caught_by("test_only_wire_options_reach_a_header")
class AnswersWithOptions(Pack):
    """Puts a local option into its answer."""

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        codec = self.codec(self.options, bits, checksum)
        return Agreement(codec, Params(level=self.options.level))  # type: ignore[arg-type]


# --- a client ---------------------------------------------------------------------------------


@caught_by("test_only_wire_options_reach_a_header")
class LeaksOptions(Pack):
    """Puts a local option into its offers."""

    def offers(self) -> Sequence[Params]:
        return [Params(level=self.options.level)]


@caught_by("test_only_wire_options_reach_a_header")
class OffersADict(Pack):
    """Offers a dict."""

    def offers(self) -> Sequence[Any]:
        return [{"bits": str(self.options.bits)}]


@caught_by("test_its_own_offers_are_accepted")
class OffersNothing(Pack):
    """Has no offer."""

    def offers(self) -> Sequence[Params]:
        return []


@caught_by("test_a_client_reads_the_whole_answer")
class IgnoresTheAnswer(Pack):
    """Does what it has offered, whatever the answer is."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self.options, self.options.bits, self.options.sum)


@caught_by("test_a_client_reads_the_whole_answer")
class IgnoresOneParameter(Pack):
    """Takes the flag from the answer, and the window from its own options."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self.options, self.options.bits, answer.flag("sum"))


@caught_by("test_every_client_with_every_server")
class ReadsAndForgets(Pack):
    """Looks at the answer, and does what its own options say."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        super().confirm(offers, answer, ctx)
        return self.codec(self.options, self.options.bits, self.options.sum)


@caught_by("test_numbers_are_checked_against_their_bounds")
class TakesAnyAnswer(Pack):
    """Takes a window that it cannot have."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        bits = answer.text("bits") or ""
        return self.codec(self.options, int(bits) if bits in "9 10 11" else 15, answer.flag("sum"))


@caught_by("test_flags_take_no_value")
class TakesAnyFlag(Pack):
    """Takes a flag with any value for an answer."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self.options, answer.integer("bits", 9, 15) or 15, "sum" in answer)


@caught_by("test_malformed_values_raise_nothing_but_negotiation_errors")
class NeedsAnAnswer(Pack):
    """Takes for granted that the answer names the window."""

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self.options, int(str(answer["bits"])), answer.flag("sum"))


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
