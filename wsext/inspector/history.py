"""The totals over time, for the page's charts: densely lately, sparsely since the start."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from wsext.inspector.rows import Traffic

__all__ = ["History", "Sample"]

#: Samples that are kept: the latest, and as many over the whole time.
_MAX_SAMPLES = 240


class Sample(Struct, frozen=True, array_like=True):
    """What had come in and gone out until a time."""

    time: float
    incoming: Traffic
    outgoing: Traffic


class History:
    """Keeps every sample for a while, and a few over the whole time.

    Args:
        start: When nothing had been sent yet.
    """

    def __init__(self, start: float) -> None:
        self._sparse = [Sample(start, Traffic(), Traffic())]
        self._step = 1.0  # seconds between two of them
        self._latest: deque[Sample] = deque(maxlen=_MAX_SAMPLES)

    def add(self, sample: Sample) -> None:
        """Add a sample, unless it is of the same time as the last one."""
        if self._latest and sample.time <= self._latest[-1].time:
            return
        self._latest.append(sample)
        if sample.time - self._sparse[-1].time >= self._step:
            self._sparse.append(sample)
        if len(self._sparse) > _MAX_SAMPLES:
            del self._sparse[1::2]
            self._step *= 2

    def samples(self) -> list[Sample]:
        """All that is kept, the oldest first."""
        since = self._latest[0].time if self._latest else float("inf")
        return [*(sample for sample in self._sparse if sample.time < since), *self._latest]
