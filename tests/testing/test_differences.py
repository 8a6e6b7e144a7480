"""Where two messages differ, in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.testing.differences import check_same, difference


def test_the_first_difference_is_shown_with_both_sides_around_it() -> None:
    sent = b"x" * 5000 + b"right" + b"y" * 5000
    got = b"x" * 5000 + b"wrong" + b"y" * 4999
    assert difference(sent, got) == (
        "10005 bytes were sent and 10004 came; they differ first at offset 5000: "
        "sent …b'xxxxxxxxxxxxrightyyyyyyy'…, came …b'xxxxxxxxxxxxwrongyyyyyyy'…"
    )


@pytest.mark.parametrize(
    ("sent", "got", "text"),
    [
        ("naïve", "naive", "offset 2: sent 'naïve', came 'naive'"),
        (b"abc", b"ab", "offset 2: sent b'abc', came b'ab' and then its end"),
        (b"", b"x", "offset 0: sent b'' and then its end, came b'x'"),
        ("same", b"same", "'same' was sent as text and came as binary: b'same'"),
    ],
)
def test_ends_and_types_are_named(sent: str | bytes, got: str | bytes, text: str) -> None:
    assert difference(sent, got).endswith(text)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_both_sides_never_look_alike(sent: bytes, got: bytes) -> None:
    if sent == got:
        check_same([sent], [got])
        return
    shown, came = difference(sent, got).split(": ", 1)[1].removeprefix("sent ").split(", came ", 1)
    assert shown != came


def test_messages_that_are_missing_or_too_many_are_told() -> None:
    with pytest.raises(AssertionError, match=r"^here: 2 messages were sent and 1 came: 'b' is mis"):
        check_same(["a", "b"], ["a"], "here: ")
    with pytest.raises(AssertionError, match="0 messages were sent and 1 came: b'x' came, and nob"):
        check_same([], [b"x"])
