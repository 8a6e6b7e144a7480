"""The last messages of rooms: so many of each, and so many bytes of each and of all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.rooms.backplanes.kept import Bounds, KeptMessages


def wide(**bounds: float) -> Bounds:
    return Bounds(**{"messages": 100, "room_bytes": 1000, "total_bytes": 100_000, **bounds})  # type: ignore[arg-type]


def test_so_many_messages_and_bytes_of_a_room_are_kept() -> None:
    kept: KeptMessages[int] = KeptMessages(lambda message: 0)
    for number in range(10):
        kept.put("tea", number, 10, wide(messages=4))
    assert kept.last("tea", 100) == [6, 7, 8, 9]
    assert kept.last("tea", 2) == [8, 9]
    assert kept.last("tea", 0) == kept.last("coffee", 5) == []
    kept.put("tea", 10, 25, wide(room_bytes=40))
    assert kept.last("tea", 100) == [9, 10]


def test_a_message_that_is_too_large_leaves_nothing() -> None:
    kept: KeptMessages[int] = KeptMessages(lambda message: 0)
    kept.put("tea", 1, 10, wide())
    kept.put("tea", 2, 1001, wide())
    assert kept.last("tea", 10) == []
    assert kept.size == 0


def test_nothing_is_kept_of_a_room_that_may_keep_no_message() -> None:
    kept: KeptMessages[int] = KeptMessages(lambda message: 0)
    kept.put("tea", 1, 10, wide(messages=0))
    assert kept.size == 0


def test_the_room_that_was_silent_longest_loses_first() -> None:
    kept: KeptMessages[str] = KeptMessages(len)
    for room in ("tea", "coffee", "tea", "water"):
        kept.put(room, room, 100, wide())
    size = kept.size - 2  # of "coffee"
    kept.put("milk", "milk", 100, wide(total_bytes=size))
    assert (kept.last("coffee", 9), len(kept.last("tea", 9)), kept.size) == ([], 2, size)
    kept.put("milk", "milk", 100, wide(rooms=2))
    assert (kept.last("tea", 9), kept.last("water", 9)) == ([], ["water"])


def test_old_rooms_go_when_another_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kept: KeptMessages[int] = KeptMessages(lambda message: 0)
    kept.put("tea", 1, 1, wide(seconds=60))
    now = 61.0
    kept.put("coffee", 1, 1, wide(seconds=60))
    assert kept.last("tea", 1) == []


def test_a_room_can_be_forgotten() -> None:
    kept: KeptMessages[int] = KeptMessages(lambda message: 0)
    kept.put("tea", 1, 10, wide())
    kept.drop("tea")
    kept.drop("tea")
    assert (kept.last("tea", 1), kept.size) == ([], 0)


def test_what_messages_hold_may_become_more() -> None:
    kept: KeptMessages[list[bytes]] = KeptMessages(lambda message: sum(map(len, message)))
    messages = [[bytes(10)] for _ in range(4)]
    for message in messages:
        kept.put("tea", message, 10, wide())
    before = kept.size
    for message in messages:
        message.append(bytes(500))
    kept.recount("tea", wide())
    assert kept.size == before + 2000
    kept.recount("tea", wide(total_bytes=before))
    assert len(kept.last("tea", 9)) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400)), max_size=60),
    st.builds(Bounds, *(st.integers(0, 2000) for _ in range(3)), st.integers(0, 3)),
)
def test_no_bound_is_ever_passed(said: list[tuple[str, int]], bounds: Bounds) -> None:
    kept: KeptMessages[int] = KeptMessages(abs)
    for room, size in said:
        kept.put(room, size, size, bounds)
        assert kept.size <= bounds.total_bytes
        rooms = {name: kept.last(name, 1000) for name in "abcd"}
        for sizes in rooms.values():
            assert len(sizes) <= bounds.messages
            assert sum(sizes) <= bounds.room_bytes
        assert len([name for name in rooms if rooms[name]]) <= (bounds.rooms or 0)
        assert kept.size >= sum(map(sum, rooms.values()))
