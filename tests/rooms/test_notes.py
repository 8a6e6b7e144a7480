"""What processes tell each other: what is encoded can be read, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wsext import BackplaneStatus, Position, PreparedMessage, PreparedValue, Presence, RoomMessage
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.notes import NOTES, Back, Came, Said, Went, encode, read_members, read_said

MEMBER = Presence("1.s1", "Ada", {"mood": "fine"})


@pytest.mark.parametrize(
    "note", [Said("text", "key", ["1.s1"], {"compress": False}, {"a": 1}), Came(MEMBER),
             Went(MEMBER), Back()]
)  # fmt: skip
def test_a_note_is_read_as_it_was_encoded(note: Any) -> None:
    assert NOTES.decode(encode(note)) == note


def test_the_message_is_what_was_said() -> None:
    message = Said(b"bytes", hints={"compress": False}, meta={"a": 1}).message
    assert (message.data, message.hints, message.meta) == (b"bytes", {"compress": False}, {"a": 1})


@pytest.mark.parametrize(
    "data",
    [
        ["m", 1], ["m", None], ["m", ["text"]], ["m", "text", 1.5], ["m", "text", None, "all"],
        ["m", "text", None, [1]], ["m", "text", None, [], ["compress"]], ["m"], ["x", "text"], [],
        ["+", "Ada"], ["-", ["1.s1"]], ["+", ["1.s1", 5]], {"m": "text"},
        ["m", "text", None, [], {"a": msgspec.msgpack.Ext(5, b"own type")}],
    ],
    ids=lambda data: str(encode(data)),
)  # fmt: skip
def test_what_has_another_type_is_refused(data: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        NOTES.decode(encode(data))


def test_a_prepared_message_is_told_with_all_that_it_has() -> None:
    message = PreparedMessage("text", hints={"compress": False}, meta={"a": 1})
    said = Said.of(message, "key", {"b", "a"})
    assert said == Said("text", "key", ["a", "b"], {"compress": False}, {"a": 1})


def test_a_value_is_told_in_both_formats() -> None:
    value = PreparedValue({"a": 1}, meta={"m": 1})
    said = Said.of(value)
    assert said == Said('{"a":1}', meta={"m": 1}, packed=b"\x81\xa1a\x01")
    told = NOTES.decode(encode(said))
    assert isinstance(told, Said)
    assert isinstance(told.message, PreparedValue)
    assert told.message.msgpack.data == value.msgpack.data
    with pytest.raises(msgspec.ValidationError):
        NOTES.decode(encode(["m", "{}", None, [], None, None, None, "text"]))


def test_members_that_cannot_be_read_are_left_out_and_counted() -> None:
    status = BackplaneStatus()
    wrong = [["1.s1"], [1, "Ada"], ["1.s1", "Ada", ["fine"]], ["1.another", "Ada"]]
    for data in wrong:
        assert read_members(Faults(status), "tea", {"1.s1": encode(data)}) == []
    assert status.unreadable == len(wrong)
    found = {"2.s1": encode(Presence("2.s1", "Bob")), "1.s1": encode(MEMBER)}
    assert read_members(Faults(status), "tea", found) == [MEMBER, Presence("2.s1", "Bob")]


def test_what_was_said_is_read_with_its_position() -> None:
    status = BackplaneStatus()
    faults, position = Faults(status), Position("e", 7)
    said = Said("text", "key", [], {"h": 1}, {"m": 1}, "17")
    message = RoomMessage("text", position, "17", "key", {"h": 1}, {"m": 1})
    assert read_said(faults, "tea", position, encode(said)) == message
    assert read_said(faults, "tea", position, encode(Came(MEMBER))) is None
    assert status.unreadable == 0
    assert read_said(faults, "tea", position, b"\xc1") is None
    assert status.unreadable == 1
