"""Option sets: types, bounds, and errors that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Protocol

import pytest

from tests.extensions import Append
from wsext import NamedOptionSet, OptionError, OptionSet, WebSocketOptions, in_code, local, wire
from wsext.sdk.options import option_fields, refuse_code_options


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
        ({"level": 10}, ["x-demo: level: expected a whole number from 0 to 9 (how hard), got 10"]),
        ({"level": -1}, ["level", "from 0 to 9", "got -1"]),
        ({"level": "six"}, ["level", "got 'six'"]),
        ({"level": 1.5}, ["level", "a whole number", "got 1.5"]),
        ({"level": True}, ["level", "got true", "write level=VALUE"]),
        ({"lvel": 1}, ["lvel", "no such option", "did you mean 'level'?"]),
        ({"ratio": 0}, ["ratio", "a number, > 0 or none"]),
        ({"window_bits": 8}, ["window_bits", "9 to 15"]),
        ({"mode": "smal"}, ["one of 'fast', 'small' (what matters)", "did you mean 'small'?"]),
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


def test_names_are_checked_by_the_constructor_too() -> None:
    class Needy(OptionSet):
        size: Annotated[int, wire("bytes", ge=4, le=32)]

    for make in (Needy.parse, lambda values: Needy(**values)):
        with pytest.raises(OptionError, match=r"size: is required: a whole number from 4 to 32"):
            make({})
        with pytest.raises(OptionError, match=r"sise: no such option.*did you mean 'size'"):
            make({"sise": 5})
    (field,) = option_fields(Needy)
    assert (field.required, field.default, field.scope) == (True, None, "wire")


class Keys(Protocol):
    def key(self, name: str) -> bytes: ...


class Vault:
    def key(self, name: str) -> bytes:
        return b"k"

    def __repr__(self) -> str:
        return "Vault(s3cret)"


class Sealed(OptionSet):
    keys: Annotated[Keys, in_code("where keys come from")]
    clock: Annotated[Callable[[], float], in_code("seconds")] | None = None


def test_code_sets_objects_and_nothing_shows_them() -> None:
    vault = Vault()
    options = Sealed(keys=vault, clock=float)
    assert options.keys is vault
    assert Sealed.parse({"keys": vault}).replace({"clock": float}) == options
    assert repr(options) == "Sealed(keys=<Vault>, clock=<type>)"
    keys, clock = option_fields(Sealed)
    assert (keys.scope, keys.required, keys.type, keys.wire) == ("code", True, "Keys", None)
    assert (clock.scope, clock.required, clock.type) == ("code", False, "callable | none")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "keys: is required: .*Keys.*; only code can set it"),
        ({"keys": "s3cret"}, r"keys: expected an instance of Keys \(where.*\), got str$"),
        ({"keys": Vault}, "got the class Vault$"),
        ({"keys": None}, "got NoneType$"),
        (
            {"keys": Vault(), "clock": 5},
            r"clock: expected a callable or none \(seconds\), got int$",
        ),
    ],
)
def test_an_object_is_never_made_from_text(values: dict[str, Any], words: str) -> None:
    for make in (Sealed.parse, lambda values: Sealed(**values)):
        with pytest.raises(OptionError, match=words) as caught:
            make(values)
        assert "s3cret" not in str(caught.value)


def test_text_may_not_set_what_only_code_sets() -> None:
    refuse_code_options(Append.Options, ["suffix", "note"], "x-append")
    with pytest.raises(OptionError, match=r"install\('x-seal', keys=...\)") as caught:
        refuse_code_options(Sealed, ["keys"], "x-seal")
    assert (caught.value.owner, caught.value.field) == ("x-seal", "keys")


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
    with pytest.raises(OptionError, match=r"websocket: max_message_size: .*from 1 to"):
        WebSocketOptions(max_message_size=0)
    with pytest.raises(OptionError, match="did you mean 'ping_interval'"):
        WebSocketOptions.parse({"ping_intervall": 3})


def test_a_named_option_set_is_data() -> None:
    named = NamedOptionSet("tiny", "small windows", {"x-demo": {"level": 1}}, {"prefer": "server"})
    assert named.extensions["x-demo"]["level"] == 1
    assert named.websocket["prefer"] == "server"
