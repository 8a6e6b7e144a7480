"""Parameters: what can be written, and how they are read."""

from __future__ import annotations

import pytest

from wsext import NegotiationError, Params


def test_values_become_what_a_header_holds() -> None:
    params = Params({"dict-id": "a1"}, flag=True, bits=12, absent=False, bare=None)
    assert str(params) == "dict-id=a1; flag; bits=12; bare"
    assert params == {"dict-id": "a1", "flag": None, "bits": "12", "bare": None}


@pytest.mark.parametrize("bad", [{"a b": True}, {"a": "x y"}, {"": True}, {"a": 'x"'}, {"é": 1}])
def test_only_tokens_can_be_written(bad: dict[str, str | bool]) -> None:
    with pytest.raises(ValueError, match="token"):
        Params(bad)


def test_names_come_once() -> None:
    with pytest.raises(ValueError, match="duplicate"):
        Params([("a", None), ("a", None)])


@pytest.mark.parametrize("value", ["08", "+9", "9.0", "16", "7", "٩", "x", "0x9"])
def test_numbers_are_plain_decimal_digits_within_bounds(value: str) -> None:
    params = Params({"bits": value}) if value.isascii() else Params()
    if not params:
        return
    with pytest.raises(NegotiationError, match="8 to 15"):
        params.integer("bits", 8, 15)


def test_readers() -> None:
    params = Params(flag=True, bits=9, text="t")
    assert params.flag("flag")
    assert not params.flag("other")
    assert params.integer("bits", 8, 15) == 9
    assert params.integer("flag", 8, 15) is None
    assert params.text("text") == "t"
    with pytest.raises(NegotiationError, match="no value"):
        params.flag("text")
    with pytest.raises(NegotiationError, match="needs a value"):
        params.text("flag")
    with pytest.raises(NegotiationError, match="unknown parameter 'text'"):
        params.only("flag", "bits")


def test_what_is_left_without_secrets_is_right_whether_it_is_shared_or_not() -> None:
    long = "x" * 100
    for more in ("1", "2", long):
        for _ in range(2):
            params = Params(id="a-secret", received=more).hide({"id"})
            assert params.header == f"id=a-secret; received={more}"
            params.forget()
            assert params.header == str(params) == f"id=…; received={more}"
            assert params.secrets == {"id": "…"}
