"""The cases about negotiation catch extensions that are each wrong in one way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.testing.mutants import Mutants, Pack, PackCodec, check_caught
from wsext import (
    Agreement,
    Codec,
    Declined,
    NegotiationContext,
    Params,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


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


@caught_by("test_every_client_with_every_server")
class ForgetsItsAnswer(Pack):
    """Answers one thing and does another."""

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        return Agreement(self.codec(6, bits, False), Params(bits=bits, sum=checksum))  # type: ignore[arg-type]


@caught_by("test_every_negotiation_makes_a_codec_of_its_own")
class OneCodec(Pack):
    """One codec for all connections."""

    def setup(self) -> None:
        self.only = PackCodec(6, 15, False)

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Agreement(self.only)

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.only


@caught_by("test_only_wire_options_reach_a_header")
class LeaksOptions(Pack):
    """Puts a local option into its offers."""

    def offers(self) -> Sequence[Params]:
        return [Params(level=self.options.level)]


@caught_by("test_its_own_offers_are_accepted")
class DeclinesItself(Pack):
    """Declines everything."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Declined("no")


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
