"""Two sequences of answers, side by side."""

from __future__ import annotations

import pytest

from wsext.cli.comparing import Answer, align, describe


def texts(words: str) -> list[Answer]:
    return [Answer("text", word.encode(), len(word)) for word in words.split()]


@pytest.mark.parametrize(
    ("recorded", "came", "pairs"),
    [
        ("", "", ""),
        ("a b c", "a b c", "a=a b=b c=c"),
        ("a b c", "a x c", "a=a b=x c=c"),
        ("a b c", "a c", "a=a b= c=c"),
        ("a c", "a b c", "a=a =b c=c"),
        ("a b c d", "c d", "a= b= c=c d=d"),
        ("a b", "x y", "a=x b=y"),
        ("a b", "x", "a=x b="),
        ("a", "x y", "a=x =y"),
        ("a a a b", "a a b", "a=a a=a a= b=b"),
    ],
)
def test_each_answer_stands_beside_the_one_that_it_stands_for(
    recorded: str, came: str, pairs: str
) -> None:
    found = [
        f"{one.payload.decode() if one else ''}={other.payload.decode() if other else ''}"
        for one, other in align(texts(recorded), texts(came))
    ]
    assert found == pairs.split()


def test_many_answers_that_have_nothing_in_common() -> None:
    ones, others = texts("a " * 2000), texts("b " * 1990)
    pairs = list(align(ones, others))
    assert len(pairs) == 2000
    assert [other for _, other in pairs[1990:]] == [None] * 10


def test_a_text_is_shown_around_the_first_difference() -> None:
    before = b"the same beginning of both, and then "
    one, other = before + b"this\x1b", before + b"that"
    lines = describe((Answer("text", one, len(one)), Answer("text", other, len(other))))
    assert lines == [
        "  - text, 42 bytes from byte 27: … ' and then this\\x1b'",
        "  + text, 41 bytes from byte 27: … ' and then that'",
    ]


def test_bytes_close_frames_and_what_is_missing() -> None:
    assert describe((Answer("binary", b"\x00\xff", 2), None)) == ["  - binary, 2 bytes: 00 ff"]
    assert describe((None, Answer("close", b"\x03\xe8bye", 5))) == ["  + close 1000 bye"]
    assert describe((None, Answer("close", b"", 0))) == ["  + close without a code"]
