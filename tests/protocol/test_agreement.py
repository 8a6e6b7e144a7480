"""What a negotiation is made of reads as it stands in a header, and frees what it holds."""

from __future__ import annotations

import pytest

from tests.extensions import Append, Reverse
from wsext import Agreement, Codec, Declined, Params, Phase
from wsext.protocol.agreement import Agreed, Negotiation, Offer


class Closing(Codec):
    """Counts how often it is closed, and may fail at it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


def test_phases_are_ordered_from_the_application_to_the_wire() -> None:
    assert [phase.name for phase in sorted(Phase)] == [
        *("APPLICATION", "SEMANTIC", "COMPRESSION", "INTEGRITY", "WIRE")
    ]


def test_an_offer_reads_as_it_stands_in_a_header() -> None:
    assert str(Offer("x-reverse")) == "x-reverse"
    assert str(Offer("x-append", Params(suffix="z", loud=True))) == "x-append; suffix=z; loud"


def test_the_response_lists_what_is_in_use_or_is_no_header() -> None:
    agreed = Agreed(Append(), Params(suffix="z"), Closing()), Agreed(Reverse(), Params(), Closing())
    assert [item.name for item in agreed] == ["x-append", "x-reverse"]
    assert Negotiation(agreed=agreed).header == "x-append; suffix=z, x-reverse"
    assert Negotiation().header is None


def test_a_codec_that_cannot_be_closed_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codecs = [Closing(), Closing(RuntimeError("it clings")), Closing()]
    Negotiation(agreed=tuple(Agreed(Append(), Params(), codec) for codec in codecs)).close()
    assert [codec.closed for codec in codecs] == [1, 1, 1]
    assert "extension x-append: close() failed" in caplog.text
    assert "it clings" in caplog.text


def test_what_accept_returns_has_defaults() -> None:
    codec = Closing()
    assert Agreement(codec).params == Params()
    assert Agreement(codec).codec is codec
    assert Declined().reason == "declined"
