"""Mistakes in a class are refused when it is made, with a sentence that says what to write."""

from __future__ import annotations

from typing import Any

import pytest

from wsext import RSV, App, Extension, Interceptor, OptionSet, Phase, PluginError

MISTAKES = [
    ("name", "x pack", r"no token .* write for example name = 'x-pack'"),
    ("name", "", r"write a text"),
    ("name", 5, r"write a text"),
    ("name", "grüße", r"no token"),
    ("phase", "COMPRESSION", r"'COMPRESSION': write one of Phase\.APPLICATION"),
    ("phase", 30, r"write one of Phase"),
    ("rsv", 2, r"2: .*\(rsv = RSV\.RSV2\)"),
    ("rsv", 0x80, r"write RSV\.RSV1"),
    ("rsv", "RSV1", r"write RSV\.RSV1"),
    ("rsv", None, r"write RSV\.RSV1"),
    ("rsv", [1], r"write RSV\.RSV1"),
    ("opcodes", frozenset({1}), r"3 to 7 \(data\) and 11 to 15 \(control\)"),
    ("opcodes", frozenset({16}), r"3 to 7"),
    ("opcodes", {"3"}, r"3 to 7"),
    ("opcodes", 3, r"write a frozenset"),
    ("extra_wire_params", "window", r"frozenset\(\{'window'\}\)"),
    ("extra_wire_params", {"no token"}, r"tokens"),
    ("Options", dict, r"derived from wsext\.OptionSet"),
    ("Options", OptionSet(), r"not an object of it"),
    ("conformance", ["inflates"], r"write a dictionary"),
    ("conformance", {"inflate": True}, r"no attribute 'inflate'; did you mean 'inflates'"),
    ("conformance", {"inflates": 3}, r"inflates"),
]


def make(attribute: str, value: Any) -> type[Extension]:
    return type("Wrong", (Extension,), {"name": "x-wrong", attribute: value})


@pytest.mark.parametrize(("attribute", "value", "sentence"), MISTAKES)
def test_a_mistake_is_refused_when_the_class_is_made(
    attribute: str, value: Any, sentence: str
) -> None:
    with pytest.raises(TypeError, match=rf"^Wrong.*{attribute}.*{sentence}"):
        make(attribute, value)


@pytest.mark.parametrize(("attribute", "value", "sentence"), MISTAKES)
def test_a_mistake_that_came_later_is_refused_when_it_is_installed(
    attribute: str, value: Any, sentence: str
) -> None:
    kind = make("phase", Phase.WIRE)
    item = kind()
    setattr(kind, attribute, value)
    with pytest.raises(PluginError, match=sentence):
        App().install(item)


def test_what_fits_is_taken_as_it_is_meant() -> None:
    kind = type("Right", (Extension,), {"name": "x-right", "rsv": 0x60, "opcodes": {3, 11}})
    assert kind.rsv is RSV.RSV1 | RSV.RSV2
    assert kind.opcodes == frozenset({3, 11})
    assert App().install(kind).name == "x-right"


def test_a_class_that_others_derive_from_needs_no_name_but_cannot_be_installed() -> None:
    class Base(Extension):
        """Has none."""

    with pytest.raises(TypeError, match=r"Base\.name is None: write a text"):
        Base()


def test_the_name_of_an_interceptor_stands_in_no_header() -> None:
    class Local(Interceptor):
        name = "my filter"

    assert Local().name == "my filter"
    with pytest.raises(TypeError, match=r"Nameless\.name is 7"):
        type("Nameless", (Interceptor,), {"name": 7})
