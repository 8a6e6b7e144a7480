"""What the cases share: variants of options, fragments, hooks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extensions import Append
from tests.testing.mutants import Pack
from wsext import Frame, hookimpl
from wsext.testing.cases_base import Cases, check_hooks, edges, fragments


@given(payload=st.binary(max_size=50), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_fragments_are_one_message(payload: bytes, cuts: list[int]) -> None:
    made = fragments(payload, cuts, 1)
    assert b"".join(bytes(frame.payload) for frame in made) == payload
    assert [frame.opcode for frame in made] == [1] + [0] * len(cuts)
    assert [frame.fin for frame in made] == [False] * len(cuts) + [True]


def test_the_bounds_of_an_option_are_its_edges() -> None:
    assert edges("9 to 15") == [9, 15]
    assert edges("at least 1") == edges("client to server") == edges("") == []


def test_an_extension_is_negotiated_with_its_defaults_and_the_edges_of_its_wire_options() -> None:
    kit = type("Kit", (Cases,), {"extension": Pack})()
    assert kit.all_variants() == [{}, {"bits": 9}, {"sum": True}]  # 15 is the default
    chosen: list[dict[str, Any]] = [{"bits": 10}]
    assert type("Kit", (Cases,), {"extension": Pack, "variants": chosen})().all_variants() == chosen


def test_an_instance_has_the_options_of_the_suite_and_of_the_case() -> None:
    kit = type("Kit", (Cases,), {"extension": Append, "options": {"suffix": "a", "note": "n"}})()
    made = kit.make(suffix="b")
    assert (made.options.suffix, made.options.note) == ("b", "n")


class Hooks:
    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> None:
        pass


class Unmarked(Hooks):
    def wsext_session_opened(self) -> None:
        pass


class Misspelt(Hooks):
    @hookimpl
    def wsext_frame_recieved(self) -> None:
        pass


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (object(), "it has no hook"),
        (Unmarked(), "wsext_session_opened is not marked"),
        (Misspelt(), "wsext_frame_recieved is no hook"),
    ],
)
def test_hooks_that_would_never_be_called_are_named(plugin: object, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_hooks(plugin)
    check_hooks(Hooks())
