"""The totals over time: densely lately, sparsely since the start, and never more than so many."""

from __future__ import annotations

from itertools import pairwise

from wsext.inspector.history import History, Sample
from wsext.inspector.rows import Traffic


def test_a_quarter_of_a_day_is_kept_from_its_start_to_its_last_two_minutes() -> None:
    history = History(100.0)
    times = [100 + 0.5 * tick for tick in range(1, 2 * 6 * 3600 + 1)]
    for time in times:
        history.add(Sample(time, Traffic(messages=int(time)), Traffic()))
    kept = [sample.time for sample in history.samples()]
    assert kept[0] == 100
    assert kept[-240:] == times[-240:]
    assert 350 < len(kept) <= 480
    steps = [after - before for before, after in pairwise(kept)]
    assert max(steps) <= 6 * 3600 / 100  # also the sparse ones cover the whole time
    assert min(steps) > 0


def test_what_several_pages_count_at_one_time_is_one_sample() -> None:
    history = History(0.0)
    for _ in range(3):
        history.add(Sample(1.0, Traffic(1), Traffic()))
    assert [sample.time for sample in history.samples()] == [0, 1]
