"""Values of options: what fits a type, and the words for what does not."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import pytest

from wsext import OptionError, Secret, in_code, local
from wsext.sdk.values import bounds, check_object, expected, from_text, type_name


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Named(Protocol):
    name: str


@runtime_checkable
class Factory(Protocol):
    def __call__(self) -> Named: ...


class Thing:
    name = "thing"


@pytest.mark.parametrize(
    ("kind", "words", "limits", "name"),
    [
        (Annotated[int, local("bytes", ge=1)], "a whole number, >= 1 (bytes)", ">= 1", "int"),
        (Annotated[float, local("", gt=0, lt=1)], "a number, > 0, < 1", "> 0, < 1", "float"),
        (Annotated[int, local("", ge=0, le=8, multiple_of=4)],
         "a whole number from 0 to 8, multiple of 4", "0 to 8, multiple of 4", "int"),
        (Annotated[str, local("", min_length=1, pattern="^a")],
         "a text, length >= 1, matching ^a", "length >= 1, matching ^a", "str"),
        (bool, "true or false", "", "bool"),
        (Secret | None, "a text that is not empty or none", "", "Secret | none"),
        (Literal["a", "b"] | None, "one of 'a', 'b' or none", "", "'a' | 'b' | none"),
        (Color, "one of 'red', 'blue'", "", "Color"),
        (tuple[int, ...], "a list, each item a whole number", "", "tuple[int]"),
        (dict[str, int], "a table", "", "dict[str, int]"),
        (Callable[[str], Awaitable[bytes]], "a callable", "", "callable"),
        (Path, "an instance of Path", "", "Path"),
    ],
)  # fmt: skip
def test_a_type_in_words(kind: Any, words: str, limits: str, name: str) -> None:
    assert expected(kind) == words
    assert bounds(kind) == limits
    assert type_name(kind) == name


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "1_000", 1000),
        (str, "1_000", "1_000"),
        (tuple[str, ...], "a, b", ("a", "b")),
        (float | None, "None", None),
        (bool, "true", True),
        (Color, "red", Color.RED),
    ],
)
def test_text_is_parsed(kind: Any, text: str, value: Any) -> None:
    assert from_text("option", kind, text) == value


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Literal["fast", "small"], "fsat", ["one of 'fast', 'small', got 'fsat'", "'fast'?"]),
        (Secret, "", ["expected a text that is not empty, got a hidden value"]),
        (tuple[int, ...], "1,x", ["a list, each item a whole number", "['1', 'x']"]),
        (int, "x" * 99, ["got 'xxx", "xxx..."]),
    ],
)
def test_text_that_does_not_fit(kind: Any, value: Any, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        from_text("option", kind, value)
    for word in words:
        assert word in str(caught.value)


def test_a_type_that_nothing_can_be_converted_to_belongs_into_code() -> None:
    with pytest.raises(TypeError, match=r"option keys: .*Named: declare it with in_code\(...\)"):
        from_text("keys", Named, Thing())


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (Thing, Thing(), True),
        (Thing, Thing, False),
        (type[Thing], Thing, True),
        (Thing | None, None, True),
        (Named, Thing(), True),
        (Named, Thing, False),
        (Named, object(), False),
        (Factory, Thing, True),
        (Factory, 5, False),
        (Callable[[], Thing], Thing, True),
        (Callable[[], Thing], "thing", False),
        (Sequence[bytes], [b"a"], True),
        (Sequence[bytes], 5, False),
        (Mapping[str, bytes], {}, True),
        (Annotated[Literal[1, 2], in_code("")], 3, False),
        (float, 1, True),
        (Any, Thing, True),
        (object, Thing, True),
    ],
)
def test_objects_are_checked_as_far_as_can_be_told(kind: Any, value: Any, fits: bool) -> None:
    if fits:
        assert check_object("option", kind, value) is value
    else:
        with pytest.raises(OptionError, match="option: expected"):
            check_object("option", kind, value)
