"""The kit on extensions that are right; the tests of its cases have wrong ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from wsext_deflate import PermessageDeflate
from wsext_framelog import FrameLog

from tests.extensions import Append, Reverse, Slow
from tests.testing.mutants import Pack
from wsext import Extension, MessageCodec, NegotiationContext, Params
from wsext.testing import ExtensionSuite
from wsext.testing.suite import Outcome, cases, run, suite_for


class TestPack(ExtensionSuite):
    """pytest runs the kit as an author's tests do."""

    extension = Pack


class TestPackWithChecksum(ExtensionSuite):
    extension = Pack
    options: ClassVar[Mapping[str, Any]] = {"sum": True}
    detects_corruption = True


def test_a_suite_takes_what_its_extension_says_and_it_does_not() -> None:
    class Summed(Pack):
        """Needs an option."""

        conformance: ClassVar[Mapping[str, Any]] = {"options": {"sum": True}, "examples": 3}

    class Suite(ExtensionSuite):
        extension = Summed
        examples = 5

    class Narrower(Suite):
        """As the other, with what it says itself."""

    assert (Suite.options, Suite.examples, Narrower.examples) == ({"sum": True}, 5, 5)
    assert suite_for(Summed).options == {"sum": True}
    assert ExtensionSuite.options == {}


@pytest.mark.parametrize("kind", [PermessageDeflate, Append, Reverse, Slow, FrameLog])
def test_extensions_that_are_right_pass(kind: Any) -> None:
    results = list(run(suite_for(kind, examples=15)))
    assert [item for item in results if item.outcome is Outcome.FAILED] == []
    assert sum(item.outcome is Outcome.PASSED for item in results) >= 8
    assert all(item.detail for item in results if item.outcome is Outcome.SKIPPED)


def test_every_case_says_what_it_demands() -> None:
    for kind in (Pack, FrameLog):
        for name, title in cases(suite_for(kind)):
            assert len(title) > 20, name


def test_a_case_that_never_ends_fails_and_says_where_it_is() -> None:
    may_end = threading.Event()

    class Codec(MessageCodec):
        def encode_message(self, data: bytes) -> bytes:
            return self.think(data)

        def think(self, data: bytes) -> bytes:
            may_end.wait()
            return data

    class Endless(Extension):
        """Thinks for ever."""

        name = "x-endless"

        def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
            return Codec()

    first = "test_messages_round_trip"
    try:
        (result,) = run(suite_for(Endless), first=[first], seconds=0.5)
    finally:
        may_end.set()
    assert (result.name, result.outcome) == (first, Outcome.FAILED)
    what, method, inner = result.detail.splitlines()
    assert "did not end within 0.5 s: it is in encode_message(); no other case was run" in what
    assert method.endswith(" in encode_message")
    assert inner.endswith(" in think")
