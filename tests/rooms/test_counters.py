"""Totals of rooms."""

from __future__ import annotations

from wsext.rooms.counters import Counters


def test_totals_begin_at_nothing_and_are_shown_by_name() -> None:
    counters = Counters()
    counters.add("dropped")
    counters.add("dropped")
    counters.add("slow_closed")
    assert (counters.messages, counters.dropped, counters.slow_closed) == (0, 2, 1)
    assert "dropped=2" in repr(counters)
    assert "messages=0" in repr(counters)
