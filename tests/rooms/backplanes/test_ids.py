"""Ids are remembered for a time, and only so many."""

from __future__ import annotations

from wsext.rooms.backplanes.ids import RememberedIds


def test_the_oldest_goes_first() -> None:
    ids = RememberedIds(3, 10)
    for number, id in enumerate("abcd", 1):
        ids.put(id, number)
    assert [ids.find(id) for id in "abcd"] == [None, 2, 3, 4]
    assert len(ids) == 3


def test_an_id_is_forgotten_at_the_end_of_its_time() -> None:
    now = 100.0
    ids = RememberedIds(3, 10, lambda: now)
    ids.put("a", 1)
    ids.put("b", 2, at=95)
    now = 105.0
    assert (ids.find("a"), ids.find("b")) == (1, None)
    now = 109.9
    assert ids.find("a") == 1
    now = 110.0
    assert ids.find("a") is None
    assert len(ids) == 0
