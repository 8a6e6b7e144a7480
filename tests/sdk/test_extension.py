"""Extensions: typed options, and the negotiation that they inherit."""

from __future__ import annotations

from typing import Annotated

import pytest

from wsext import (
    Codec,
    Extension,
    NegotiationContext,
    NegotiationError,
    OptionError,
    OptionSet,
    Params,
    local,
    wire,
)


class Levels(OptionSet):
    """Its options."""

    level: Annotated[int, local("effort", ge=1, le=9)] = 5
    window: Annotated[int, wire("bits", name="max_window")] = 15


class Squeeze(Extension):
    """Has one option that may stand in a header, and a parameter of its own."""

    name = "x-squeeze"
    Options = Levels
    extra_wire_params = frozenset({"fast"})
    made = 0

    def setup(self) -> None:
        self.effort = self.options.level * 10


CTX = NegotiationContext("client", 1000)


def test_options_by_name_or_as_a_whole_are_the_same() -> None:
    assert Squeeze(level=3).options == Squeeze(Levels(level=3)).options
    assert Squeeze(Levels(window=9), level=3).options == Levels(level=3, window=9)
    assert Squeeze(level=3).effort == 30
    assert repr(Squeeze(level=3)) == "Squeeze(level=3)"
    with pytest.raises(OptionError, match=r"x-squeeze: expected Levels, got OptionSet"):
        Squeeze(OptionSet())
    with pytest.raises(OptionError, match=r"did you mean 'level'"):
        Squeeze(levle=3)


def test_only_wire_fields_and_declared_names_may_stand_in_a_header() -> None:
    assert Squeeze.wire_params == {"max_window", "fast"}


def test_an_answer_has_to_have_been_offered() -> None:
    extension = Squeeze()
    assert isinstance(extension.confirm([Params()], Params(), CTX), Codec)
    with pytest.raises(NegotiationError, match="not offered"):
        extension.confirm([Params()], Params([("fast", None)]), CTX)
