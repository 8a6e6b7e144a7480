"""Option sets: types, bounds, and errors that say what to write instead."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest

from wsext import NamedOptionSet, OptionError, OptionSet, WebSocketOptions, local, wire
from wsext.sdk.options import option_fields


class Options(OptionSet):
    __owner__: ClassVar[str] = "x-demo"

    level: Annotated[int, local("how hard", ge=0, le=9)] = 6
    ratio: Annotated[float, local("how much", gt=0)] | None = None
    window_bits: Annotated[int, wire("window", ge=9, le=15)] = 15
    dictionary: Annotated[str, wire("its id", name="dict-id", pattern="^[a-z]*$")] = ""
    mode: Annotated[Literal["fast", "small"], local("what matters")] = "fast"
    names: Annotated[tuple[str, ...], local("several")] = ()

    def check(self) -> None:
        if self.mode == "small" and self.level < 3:
            raise ValueError("mode small needs level 3 or more")


def test_text_becomes_the_fields_type() -> None:
    options = Options.parse(
        {"level": "3", "ratio": "0.5", "window-bits": "9", "names": "a, b", "mode": "small"}
    )
    assert options == Options(level=3, ratio=0.5, window_bits=9, names=("a", "b"), mode="small")
    assert Options.parse({"ratio": "none"}).ratio is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"level": 10}, ["x-demo: level", "<= 9", "got 10", "0 to 9"]),
        ({"level": -1}, ["level", ">= 0"]),
        ({"level": "six"}, ["level", "'six'"]),
        ({"level": 1.5}, ["level", "int"]),
        ({"lvel": 1}, ["lvel", "no such option", "did you mean 'level'?"]),
        ({"ratio": 0}, ["ratio", "> 0"]),
        ({"window_bits": 8}, ["window_bits", "9 to 15"]),
        ({"mode": "quick"}, ["mode", "quick"]),
        ({"dictionary": "A"}, ["dictionary", "^[a-z]*$"]),
        ({"names": 5}, ["names"]),
        ({"mode": "small", "level": 1}, ["x-demo", "level 3 or more"]),
    ],
)
def test_an_error_names_the_owner_the_field_and_the_bound(
    values: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(OptionError) as caught:
        Options.parse(values)
    for word in words:
        assert word in str(caught.value)


def test_the_constructor_checks_as_parse_does() -> None:
    with pytest.raises(OptionError, match="0 to 9"):
        Options(level=11)
    with pytest.raises(OptionError):
        Options(mode="small", level=0)


def test_option_sets_do_not_change() -> None:
    options = Options()
    with pytest.raises(AttributeError):
        options.level = 3  # type: ignore[misc]
    changed = options.replace({"level": "3"})
    assert (options.level, changed.level) == (6, 3)
    assert changed.changed() == {"level": 3}
    with pytest.raises(OptionError, match="level"):
        changed.replace({"level": 99})


def test_fields_describe_themselves() -> None:
    fields = {field.name: field for field in option_fields(Options)}
    assert fields["level"].bounds == "0 to 9"
    assert fields["level"].type == "int"
    assert fields["level"].wire is None
    assert fields["ratio"].type == "float | none"
    assert fields["window_bits"].wire == "window_bits"
    assert fields["dictionary"].wire == "dict-id"
    assert fields["names"].description == "several"


def test_every_session_option_is_described_and_bounded_by_type() -> None:
    for field in option_fields(WebSocketOptions):
        assert field.description, field.name
    with pytest.raises(OptionError, match=r"websocket: max_message_size.*>= 1"):
        WebSocketOptions(max_message_size=0)
    with pytest.raises(OptionError, match="did you mean 'ping_interval'"):
        WebSocketOptions.parse({"ping_intervall": 3})


def test_a_named_option_set_is_data() -> None:
    named = NamedOptionSet("tiny", "small windows", {"x-demo": {"level": 1}}, {"prefer": "server"})
    assert named.extensions["x-demo"]["level"] == 1
    assert named.websocket["prefer"] == "server"
