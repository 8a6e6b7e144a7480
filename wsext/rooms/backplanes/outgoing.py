"""What waits for a broker, and what it took a short time ago."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from wsext.errors import OutcomeUnknown, PublishError
from wsext.escape import get_logger
from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.contract import BackplaneStatus
from wsext.rooms.backplanes.positions import LogHead, Position

__all__ = ["OutgoingRecords"]

logger = get_logger("wsext.backplane")

#: How long, and how many bytes of, messages are kept after the broker has taken them.
_KEEP_SECONDS = 30.0
_KEEP_BYTES = 1 << 22
_KEEP_RECORDS = 1 << 14

#: Messages that may wait, however small: Python needs some hundred bytes for each.
_MOST_WAITING = 1 << 16

#: How much is sent before the broker has to confirm it.
_BATCH = 256
_BATCH_BYTES = 1 << 20

_NOWHERE: Mapping[int, Position] = MappingProxyType({})


class OutgoingRecords:
    """Messages in the order of their numbers: taken a short time ago, under way, waiting.

    Those that were taken are kept for a while, because a broker that is killed may have lost them.

    Args:
        status: Where to count.
        limit: Bytes that may wait; beyond, the oldest are given up.
    """

    def __init__(self, status: BackplaneStatus, limit: int) -> None:
        self._status = status
        self._limit = limit
        self._taken: deque[tuple[float, Record, Position | None]] = deque()
        self._taken_bytes = 0
        self._sending: list[Record] = []
        self._waiting: deque[Record] = deque()
        self._outcomes: dict[int, asyncio.Future[Position | None]] = {}
        self._given = 0
        self._first_given: dict[int, float] = {}
        self._recount()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_long(self) -> bool:
        """Whether more than half of what may wait does, or more than is sent at once."""
        return self._status.queued_bytes > min(self._limit // 2, _BATCH_BYTES)

    def put(self, record: Record, outcome: asyncio.Future[Position | None] | None = None) -> None:
        """Add a message; the oldest ones may have to go for it.

        Args:
            record: The message.
            outcome: Gets its position, if the broker tells that, when the broker has taken it, and
                a `PublishError` when it is given up.
        """
        if outcome is not None:
            self._outcomes[record.number] = outcome
        self._waiting.append(record)
        self._count(1, record)
        while len(self._waiting) > 1 and (
            self._status.queued_bytes > self._limit or len(self._waiting) > _MOST_WAITING
        ):
            oldest = self._waiting.popleft()
            self._count(-1, oldest)
            self._fail(oldest, "too much waits")
            if not self._status.dropped:
                logger.warning("%s: too much waits; the oldest is given up", self._status.url)
            self._status.dropped += 1

    def take(self) -> list[Record]:
        """The next messages to send; `confirm` or `sort_out` has to follow."""
        size = 0
        while self._waiting and len(self._sending) < _BATCH:
            size += len(self._waiting[0].data)
            if self._sending and size > _BATCH_BYTES:
                break
            self._sending.append(self._waiting.popleft())
        if self._sending:
            self._given = max(self._given, self._sending[-1].number)
            now = time.monotonic()
            for record in self._sending:
                self._first_given.setdefault(record.number, now)
        return self._sending

    def confirm(self, positions: Mapping[int, Position] = _NOWHERE) -> None:
        """The broker has stored what was taken.

        Args:
            positions: Where, by the messages' own numbers, if the broker tells that.
        """
        self._status.published += len(self._sending)
        for record in self._sending:
            self._count(-1, record)
        self._settle(self._sending, positions)
        self._keep(self._sending, positions)
        self._sending = []

    def refuse(self, record: Record, problem: str) -> None:
        """The broker will never store this one; `confirm` still has to follow."""
        self._fail(record, problem, PublishError)

    def _settle(self, records: Sequence[Record], positions: Mapping[int, Position]) -> None:
        """The broker has these."""
        for record in records:
            self._first_given.pop(record.number, None)
            outcome = self._outcomes.pop(record.number, None)
            if outcome is not None and not outcome.done():
                outcome.set_result(positions.get(record.number))

    def _fail(self, record: Record, problem: str, kind: type[PublishError] | None = None) -> None:
        """This one is given up."""
        self._first_given.pop(record.number, None)
        outcome = self._outcomes.pop(record.number, None)
        if outcome is not None and not outcome.done():
            kind = kind or (OutcomeUnknown if record.number <= self._given else PublishError)
            outcome.set_exception(kind(record.room, record.id, problem))

    def give_up(self, number: int, problem: str) -> None:
        """Send a message no more that has an outcome, and is not taken yet."""
        for record in self._sending:
            if record.number == number:
                # The broker works on the old list.
                self._sending = [other for other in self._sending if other is not record]
                break
        else:
            record = next(record for record in self._waiting if record.number == number)
            self._waiting.remove(record)
        self._count(-1, record)
        self._fail(record, problem)

    def give_up_all(self, problem: str) -> None:
        """Send no more messages that have an outcome."""
        for number in list(self._outcomes):
            self.give_up(number, problem)

    def _keep(self, records: Sequence[Record], positions: Mapping[int, Position]) -> None:
        now = time.monotonic()
        for record in records:
            self._taken.append((now, record, positions.get(record.number)))
            self._taken_bytes += len(record.data)
        while self._taken and (
            self._taken_bytes > _KEEP_BYTES
            or len(self._taken) > _KEEP_RECORDS
            or self._taken[0][0] < now - _KEEP_SECONDS
        ):
            self._taken_bytes -= len(self._taken.popleft()[1].data)

    def rooms(self) -> set[str]:
        """The rooms of all messages that are here."""
        return {record.room for record in self._all()}

    def of(self, room: str, after: int, until: int) -> list[Record]:
        """The messages of a room with a number above ``after`` and at most ``until``."""
        return [r for r in self._all() if r.room == room and after < r.number <= until]

    def _all(self) -> list[Record]:
        return [*(record for _, record, _ in self._taken), *self._sending, *self._waiting]

    def last_in(self, head: LogHead, room: str) -> int:
        """The last number of a room whose message is still in a log that ends so."""
        return max(
            (
                record.number
                for _, record, position in self._taken
                if record.room == room
                and position is not None
                and head.common(position) == position.number
            ),
            default=0,
        )

    def sort_out(
        self, stored: Mapping[str, int], most: int | None = None, seconds: float | None = None
    ) -> None:
        """After a reconnection, decide what to send again.

        A broker that lost something has lost the latest messages: resend everything after the last
        number that it has.

        Args:
            stored: That number by room.
            most: Larger messages are given up; the broker would never take them.
            seconds: Messages that were first sent longer ago are given up: whether the broker has
                them, it does not remember any more.
        """
        records, was_taken = self._all(), len(self._taken)
        positions = {r.number: position for _, r, position in self._taken if position is not None}
        self._taken.clear()
        self._taken_bytes, self._sending = 0, []
        now = time.monotonic()
        possible = []
        for record in records:
            given = self._first_given.get(record.number)
            if most is not None and len(record.data) > most:
                self._fail(record, f"it is too large for {self._status.url}")
            elif seconds is not None and given is not None and now - given > seconds:
                self._fail(record, f"{self._status.url} was away for too long")
            else:
                possible.append(record)
        self._status.dropped += len(records) - len(possible)
        records = possible
        has = [record for record in records if record.number <= stored.get(record.room, 0)]
        self._waiting = deque(r for r in records if r.number > stored.get(r.room, 0))
        self._settle(has, positions)
        self._keep(has, positions)
        self._status.published += len(has) - was_taken
        self._recount()

    def _count(self, sign: int, record: Record) -> None:
        self._status.queued += sign
        self._status.queued_bytes += sign * len(record.data)

    def _recount(self) -> None:
        self._status.queued = len(self._waiting)
        self._status.queued_bytes = sum(len(record.data) for record in self._waiting)
