"""A reader that is slower than a room that coalesces reads what is new."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.e2e.measure_age import APP, measure
from tests.e2e.processes import serving


def test_a_slow_reader_gets_fresh_updates(tmp_path: Path) -> None:
    (tmp_path / "prices.py").write_text(APP)
    with serving("prices:app", cwd=tmp_path) as served:
        ages = measure(served.ws, receive_buffer=None, rate=500, seconds=2.5)
    assert len(ages) > 500
    assert statistics.quantiles(ages, n=20)[-1] <= 0.2, f"{statistics.median(ages):.3f} s old"
