"""Values as JSON or MessagePack and back; what is wrong with a message is one exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import MessageError
from wsext.runtime.formats import NAMES, Format, decode, decoder, encode, encode_json


class Order(msgspec.Struct):
    item: str
    count: int


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("format", NAMES)
@given(value=values)
def test_a_value_comes_back(format: Format, value: Any) -> None:
    message = encode(value, format)
    assert type(message) is (str if format == "json" else bytes)
    assert decode(message, Any, format) == value


@pytest.mark.parametrize("format", NAMES)
@given(data=st.binary() | st.text())
def test_no_message_raises_anything_else(format: Format, data: str | bytes) -> None:
    with pytest.raises(MessageError) as caught:
        decode(data, Order, format)
    assert caught.value.code in ("malformed", "invalid")


def test_json_may_be_text_or_binary_and_messagepack_is_binary() -> None:
    assert decode(b'{"item": "tea", "count": 3}', Order, "json") == Order("tea", 3)
    with pytest.raises(MessageError, match="Expected a binary message, got text") as caught:
        decode("text", Order, "msgpack")
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("data", "code", "path", "message"),
    [
        ("{", "malformed", "", "truncated"),
        (b'{"item": "\xff"}', "malformed", "", "UTF-8"),
        ('{"item": "tea", "count": "x"}', "invalid", "$.count", "Expected `int`, got `str`"),
        ('{"item": "tea"}', "invalid", "", "missing required field `count`"),
    ],
)
def test_it_says_what_is_wrong_and_where(
    data: str | bytes, code: str, path: str, message: str
) -> None:
    with pytest.raises(MessageError, match=message) as caught:
        decode(data, Order, "json")
    assert (caught.value.code, caught.value.path or "") == (code, path)


@pytest.mark.parametrize("format", NAMES)
def test_too_many_levels_are_malformed(format: Format) -> None:
    data = "[" * 100_000 if format == "json" else b"\x91" * 100_000
    with pytest.raises(MessageError, match="levels") as caught:
        decode(data, Any, format)
    assert caught.value.code == "malformed"


def test_a_wrong_key_is_told_from_a_wrong_value() -> None:
    for data, problem in (
        ('{"a": 1}', "Expected `int`, got `str` (a key)"),
        ('{"1": ""}', "Expected `int`, got `str`"),
    ):
        with pytest.raises(MessageError) as caught:
            decode(data, dict[int, int], "json")
        assert problem in str(caught.value)


def test_what_a_peer_sent_is_quoted_in_short() -> None:
    data = msgspec.json.encode({"x" * 10_000: 1})
    with pytest.raises(MessageError) as caught:
        decode(data, dict[int, int], "json")
    assert len(str(caught.value)) < 500


def test_a_decoder_is_made_once_for_each_type() -> None:
    assert decoder(Order, "json") is decoder(Order, "json")
    unhashable: Any = msgspec.Meta(gt=1, extra={"unit": "s"})
    assert decode("2", Annotated[int, unhashable], "json") == 2


class Model(pydantic.BaseModel):
    """What FastAPI's users have."""

    item: str
    when: datetime
    parts: list[Model] = []


def test_pydantics_models_are_encoded_as_they_dump_themselves() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    model = Model(item="tea", when=when, parts=[Model(item="leaf", when=when)])
    for format in NAMES:
        order = decode(encode({"order": model, "count": 1}, format), Any, format)
        assert order["count"] == 1
        assert order["order"] == json.loads(model.model_dump_json())
    assert encode_json(model, text=False) == str(encode_json(model)).encode()


def test_what_cannot_be_encoded_or_decoded_to_is_the_authors_mistake() -> None:
    with pytest.raises(TypeError):
        encode(object(), "json")
    with pytest.raises(TypeError):
        decoder(Order | dict, "json")
