"""Positions as text, and what a log's end says about them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import RoomError
from wsext.rooms.backplanes.positions import MOST_EPOCHS, LogHead, Position, new_epoch


@given(st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True), st.integers(0, 10**15))
def test_text_and_back(epoch: str, number: int) -> None:
    position = Position(epoch, number)
    assert str(position) == f"{epoch}:{number}"
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "e", "e:", ":1", "e:-1", "e:+1", "e:01", "e:1 ", " e:1", "e:1\n", "e:1:2"),
        *("e:1.0", "e:1e3", "e:٣", "é:1", "e:9007199254740993", "e:" + "9" * 20, "x" * 33 + ":1"),
        *("e:" + "1" * 100_000, "e" * 100_000, None, b"e:1", 7),
    ],
    ids=range(24),
)
def test_what_is_none_is_refused(text: Any) -> None:
    with pytest.raises(RoomError, match=r"a position is EPOCH:NUMBER"):
        Position.parse(text)


def test_a_log_knows_how_much_of_it_a_position_is_of() -> None:
    head = LogHead("c", 9, (Position("a", 3), Position("b", 7)))
    assert head.position == Position("c", 9)
    for epoch, number, common in [
        *(("c", 9, 9), ("c", 0, 0), ("c", 10, 9)),  # ahead: the log has lost its end
        *(("b", 7, 7), ("b", 8, 7), ("a", 3, 3), ("a", 4, 3)),
        *(("x", 1, 0), ("x", 0, 0)),
    ]:
        assert head.common(Position(epoch, number)) == common


def test_a_new_epoch_goes_on_and_remembers_some() -> None:
    head = LogHead(new_epoch(), 1)
    seen = [head]
    for _ in range(MOST_EPOCHS + 3):
        head = head.renewed()
        seen.append(head)
    assert head.number == 1
    assert len({one.epoch for one in seen}) == len(seen)
    assert head.earlier == tuple(one.position for one in seen[-MOST_EPOCHS - 1 : -1])
    assert Position.parse(str(head.position)) == head.position
