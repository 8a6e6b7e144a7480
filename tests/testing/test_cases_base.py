"""What the cases share: variants of options, hooks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from tests.extensions import Append
from tests.testing.mutants import Pack
from wsext import Frame, OptionSet, hookimpl, local
from wsext.sdk.options import option_fields
from wsext.testing.cases_base import Cases, check_hooks, edges, other_values


def test_the_bounds_of_an_option_are_its_edges() -> None:
    assert edges("9 to 15") == [9, 15]
    assert edges("at least 1") == edges("client to server") == edges("") == []


def test_an_extension_is_negotiated_with_its_defaults_and_the_edges_of_its_wire_options() -> None:
    kit = type("Kit", (Cases,), {"extension": Pack})()
    assert kit.all_variants() == [{}, {"bits": 9}, {"sum": True}]  # 15 is the default
    chosen: list[dict[str, Any]] = [{"bits": 10}]
    assert type("Kit", (Cases,), {"extension": Pack, "variants": chosen})().all_variants() == chosen


class Many(OptionSet):
    """One option of each type."""

    flag: Annotated[bool, local("x")] = False
    range: Annotated[int, local("x", ge=1, le=9)] = 6
    least: Annotated[int, local("x", ge=0)] = 100
    mode: Annotated[Literal["slow", "fast"], local("x")] = "slow"
    maybe: Annotated[int, local("x", ge=5)] | None = None
    text: Annotated[str, local("x")] = "key"


def test_an_option_is_tried_with_what_its_type_tells() -> None:
    found = {field.name: other_values(field) for field in option_fields(Many)}
    assert found == {
        "flag": [True],
        "range": [1, 9, 13],
        "least": [0, 201],
        "mode": ["fast"],
        "maybe": [5],
        "text": [],  # its meaning is the author's
    }


def test_local_options_make_settings_and_no_variants() -> None:
    kit = type("Kit", (Cases,), {"extension": Pack})()
    more = kit.all_settings()[len(kit.all_variants()) :]
    assert more == [{"level": 1}, {"level": 9}, {"threshold": 1}]  # 13 is out of bounds


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
