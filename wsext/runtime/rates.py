"""Rates: the token bucket by which messages, handshakes and HTTP/2 frames are counted."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``rate * burst`` of them."""

    __slots__ = ("_at", "_full", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._full = max(rate * burst, 1.0)
        self._tokens = self._full
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; the seconds until none are owed, 0.0 if there were enough."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)

    def give_back(self, amount: float) -> None:
        """Undo a `take`."""
        self._tokens += amount

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken for long."""
        self._refill(now)
        return self._tokens >= self._full

    def _refill(self, now: float) -> None:
        self._tokens = min(self._full, self._tokens + (now - self._at) * self._rate)
        self._at = now
