"""What a room, or all rooms of a process, have done so far."""

from __future__ import annotations

from collections import Counter

__all__ = ["Counters"]


class Counters:
    """Totals of a room, or of all rooms of this process.

    Attributes:
        messages: Broadcasts, from here and from other processes.
        bytes: Their payload bytes, before any extension.
        delivered: Copies that were handed to members.
        dropped: Copies that were given up by the policy ``drop-oldest``.
        coalesced: Copies that a newer one of the same key replaced.
        slow_closed: Members that were closed with 1013 because they read too slowly.
        recovered: Members that came back with a position and missed nothing.
        replayed: Messages that they were sent for it.
        replayed_bytes: Their bytes.
        missed: Members that have missed messages, by reason (see `Missed`).
    """

    __slots__ = (
        *("bytes", "coalesced", "delivered", "dropped", "messages", "missed", "recovered"),
        *("replayed", "replayed_bytes", "slow_closed"),
    )

    def __init__(self) -> None:
        self.messages = self.bytes = self.delivered = 0
        self.dropped = self.coalesced = self.slow_closed = 0
        self.recovered = self.replayed = self.replayed_bytes = 0
        self.missed: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Counters {' '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)}>"

    def add(self, name: str) -> None:
        """Add one to a total."""
        setattr(self, name, getattr(self, name) + 1)
