"""What processes tell each other: what is encoded can be read, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wsext import Presence
from wsext.rooms.notes import MEMBERS, NOTES, Back, Came, Said, Went, encode

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


def test_members_are_strict_too() -> None:
    assert MEMBERS.decode(encode(MEMBER)) == MEMBER
    for data in (["1.s1"], [1, "Ada"], ["1.s1", "Ada", ["fine"]]):
        with pytest.raises(msgspec.ValidationError):
            MEMBERS.decode(encode(data))
