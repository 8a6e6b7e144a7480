"""Frames and messages as values; `test_compiled.py` holds both lives of them against each other."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from wsext import Frame, Message


def test_frames_are_equal_by_what_travels() -> None:
    frame = Frame(1, b"abc", hints={"a": 1}, meta={"b": 2})
    assert frame == Frame(1, bytearray(b"abc"))
    for other in (
        Frame(2, b"abc"),
        Frame(1, b"abd"),
        Frame(1, b"abc", False),
        Frame(1, b"abc", 1, 64),
    ):
        assert frame != other
    assert frame != b"abc"
    with pytest.raises(TypeError, match="unhashable"):
        hash(frame)


def test_a_copy_keeps_what_it_is_not_told_to_change() -> None:
    frame = Frame(1, b"abc", False, 64, {"a": 1}, {"b": 2})
    copy = frame.replace(payload=b"xyz", hints=None)
    assert (copy.opcode, copy.payload, copy.fin, copy.rsv) == (1, b"xyz", False, 64)
    assert (copy.hints, copy.meta) == (None, {"b": 2})
    assert frame.payload == b"abc"


def test_a_frame_shows_what_people_look_for() -> None:
    assert repr(Frame(1, b"abc", rsv=0x50)) == "<Frame TEXT FIN RSV1+RSV3 3 bytes>"
    assert repr(Frame(0, b"", False)) == "<Frame CONTINUATION 0 bytes>"
    assert repr(Frame(11, b"x")) == "<Frame 0xB FIN 1 bytes>"


def test_opcodes_from_8_on_are_control_frames() -> None:
    assert [opcode for opcode in range(16) if Frame(opcode).is_control] == list(range(8, 16))
    assert Frame(2, memoryview(b"four")).size == 4


def test_a_message_is_text_or_binary_by_its_data() -> None:
    text, binary = Message("é", 2), Message(b"\x00", 1, {"trace": 1}, False, False)
    assert (text.type, text.is_text, text.size, text.fin, text.first) == (
        "text",
        True,
        2,
        True,
        True,
    )
    assert (binary.type, binary.is_text, binary.fin, binary.first) == (
        "binary",
        False,
        False,
        False,
    )
    assert (dict(text.meta), binary.meta) == ({}, {"trace": 1})
    assert repr(text) == "<Message text 2 bytes>"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"payload": 5}, "payload is bytes-like, not int"),
        ({"payload": "text"}, r"payload is bytes-like, not str; for a text write text.encode\(\)"),
        ({"payload": None}, "payload is bytes-like, not NoneType"),
        ({"payload": [1]}, "payload is bytes-like, not list"),
        ({"payload": memoryview(array("I", [1]))}, "memoryview of single bytes"),
        ({"payload": memoryview(b"abcd")[::2]}, "one behind the other"),
        ({"opcode": 16}, "opcode is 0 to 15, not 16"),
        ({"opcode": -1}, "opcode is 0 to 15, not -1"),
        ({"rsv": 2}, "RSV.RSV1, RSV2 and RSV3, not 2"),
        ({"rsv": 0x80}, "RSV.RSV1, RSV2 and RSV3, not 128"),
    ],
)
def test_what_would_travel_as_something_else_is_refused(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        Frame(**{"opcode": 1, "payload": b"abc", **change})
    with pytest.raises(TypeError, match=sentence):
        Frame(1, b"abc").replace(**change)
