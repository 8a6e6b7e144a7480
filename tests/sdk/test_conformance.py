"""What an extension may tell the conformance kit."""

from __future__ import annotations

from typing import Any

import pytest

from wsext.sdk.conformance import Conformance, check_conformance
from wsext.testing import ExtensionSuite, InterceptorSuite


def test_every_attribute_is_one_of_a_suite() -> None:
    for name in Conformance.__annotations__:
        assert hasattr(ExtensionSuite, name) or hasattr(InterceptorSuite, name), name


def test_what_the_kit_takes_passes() -> None:
    check_conformance(
        "Foo",
        {
            "options": {"keys": print},
            "variants": ({}, {"size": 1}),
            "messages": [b"\xff"],
            "examples": 5,
            "inflates": None,
            "detects_corruption": True,
            "transparent": False,
        },
    )


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"detect_corruption": True}, "'detect_corruption'; did you mean 'detects_corruption'"),
        ({"xyz": 1}, r"no attribute 'xyz' \(known: options, variants, messages, examples"),
        ({"examples": "5"}, r"Expected `int`, got `str` - at `\$.examples`"),
        ({"messages": ["text"]}, r"Expected `bytes`, got `str` - at `\$.messages\[0\]`"),
    ],
)
def test_what_the_kit_does_not_know_is_refused(attributes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=f"^Foo: conformance.*{problem}"):
        check_conformance("Foo", attributes)
