"""Reads and writes the logs of rooms in NATS: the batches of `wsext.rooms.backplanes.nats_log`."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError

from wsext.rooms.backplanes.broker import TAIL_BYTES, Record
from wsext.rooms.backplanes.ids import RememberedIds
from wsext.rooms.backplanes.nats_log import Batch, LogEnd
from wsext.rooms.backplanes.options import NatsOptions
from wsext.rooms.backplanes.positions import LogHead, Position

__all__ = ["NatsLogs", "room_of", "room_token", "stored"]

#: The room's last message has to have this number, or nothing is stored; and what JetStream says.
_EXPECT = "Nats-Expected-Last-Subject-Sequence"
_NOT_AS_EXPECTED = 10071

#: Messages that are read at once, first and at most, and seconds to wait for them: they are there.
_FIRST_PAGE = 4
_PAGE = 500
_READ_TIMEOUT = 1.0

#: How far back in the stream a room's messages are looked for at first; then four times as far.
_REACH = 64

#: Rooms of which the end of the log is remembered, beside those that are followed.
_MOST_ENDS = 1000


class NatsLogs:
    """The logs of all rooms in one stream.

    Args:
        options: Names and bounds.
        is_followed: Whether a room is followed here.
        read: Reads a batch; ``None`` if it cannot be read.
    """

    def __init__(
        self,
        options: NatsOptions,
        is_followed: Callable[[str], bool],
        read: Callable[[str, bytes], Batch | None],
    ) -> None:
        self._options = options
        self._is_followed = is_followed
        self._read_batch = read
        self._js: JetStreamContext
        self._life = ""
        self._most = 0
        self._ends: OrderedDict[str, LogEnd] = OrderedDict()
        self._look_at = _MOST_ENDS  # how many of them there may be before some are forgotten
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unsure: set[str] = set()  # rooms where something may be stored without our knowledge

    def connect(self, js: JetStreamContext, life: str, most: int) -> None:
        """Use another connection.

        Args:
            js: The connection.
            life: Names the life of its server.
            most: Bytes that a message may have.
        """
        self._js, self._life, self._most = js, life, most
        self._ends.clear()

    def subject(self, room: str) -> str:
        """Where a room's batches are."""
        return f"{self._options.prefix}.room.{room_token(room)}"

    def _lock(self, room: str) -> asyncio.Lock:
        return self._locks.setdefault(room, asyncio.Lock())

    def took(self, room: str, batch: Batch, sequence: int) -> None:
        """A followed room's batch has come."""
        if room in self._ends:
            self._ends[room].take(batch, sequence)

    async def end(self, room: str) -> LogEnd:
        """The end of a room's log, as far as it is known here."""
        return self._ends.get(room) or await self._look(room)

    async def _look(self, room: str) -> LogEnd:
        """The end of a room's log, as the server has it."""
        known, found = self._ends.get(room), await self._find_end(room)
        if known is not None and known.sequence == found.sequence:
            return known
        if known is not None and known.sequence < found.sequence and found.batch is not None:
            known.take(found.batch, found.sequence)
            return known
        if known is not None and found.sequence:
            found.life = ""  # the stream has lost its end: the next batch begins an epoch
        self._ends[room] = found
        if len(self._ends) > self._look_at:
            for other in [other for other in self._ends if not self._is_followed(other)]:
                if len(self._ends) > _MOST_ENDS and other != room:
                    del self._ends[other]
            self._look_at = max(_MOST_ENDS, 2 * len(self._ends))  # not at every room that comes
        return found

    async def refresh(self, seconds: float) -> None:
        """Write to the followed logs where nothing was written for so long: they do not expire
        while somebody listens."""
        before = time.monotonic() - seconds
        for room, end in list(self._ends.items()):
            if end.at < before and self._is_followed(room):
                async with self._lock(room):
                    await self._begin(room)

    # --- writing ------------------------------------------------------------------------------

    async def store(
        self, records: Sequence[Record], *, remember: bool
    ) -> list[tuple[Position, bool] | None]:
        """Store records; where each of them is, and whether it was there already."""
        by_room: defaultdict[str, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_room[record.room].append(index)
        results: list[tuple[Position, bool] | None] = [None] * len(records)

        async def store(room: str, indexes: list[int]) -> None:
            mine = [records[index] for index in indexes]
            for index, placed in zip(
                indexes, await self._store_in(room, mine, remember=remember), strict=True
            ):
                results[index] = placed

        async with asyncio.TaskGroup() as group:
            for room, indexes in by_room.items():
                group.create_task(store(room, indexes))
        return results

    async def _store_in(
        self, room: str, records: list[Record], *, remember: bool
    ) -> list[tuple[Position, bool]]:
        """Store records of one room; where each of them is."""
        life, placed = self._life, list[tuple[Position, bool]]()
        async with self._lock(room):
            may_repeat = remember and (
                room in self._unsure or not all(record.fresh for record in records)
            )
            while len(placed) < len(records):
                end = await self.end(room)
                while may_repeat and end.ids is None:
                    await self._load_ids(room, end)
                rest = records[len(placed) :]
                batch, some = end.plan(rest, life, self._most, remember=remember)
                if batch is None:  # all of them are there, unless this has become another log
                    before = end.sequence
                    stored = (await self._look(room)).sequence == before
                else:
                    stored = await self._write(room, end, batch)
                if stored:
                    placed += some
            self._unsure.discard(room)
        return placed

    async def _write(self, room: str, end: LogEnd, batch: Batch) -> bool:
        """Store a batch, if nobody has stored one meanwhile."""
        expected = {_EXPECT: str(end.sequence)}
        data = msgspec.msgpack.encode(batch)
        was_sure = room not in self._unsure
        self._unsure.add(room)
        try:
            answer = await self._js.publish(self.subject(room), data, headers=expected)
        except BadRequestError as error:
            if error.err_code != _NOT_AS_EXPECTED:
                raise
            await self._look(room)
            answer = None
        if was_sure:
            self._unsure.discard(room)
        if answer is None:
            return False
        end.take(batch, answer.seq)
        return True

    async def _find_end(self, room: str) -> LogEnd:
        try:
            last = await self._js.get_last_msg(self._options.prefix, self.subject(room))
        except NotFoundError:
            return LogEnd(None, 0)
        assert last.seq is not None  # a stored message has one
        batch = self._read_batch(room, last.data or b"")
        if batch is None:  # somebody else's; ours may be before it
            found = await self._last_batches(room, last.seq, 1)
            batch = found[-1] if found else None
        return LogEnd(batch, last.seq)

    async def _load_ids(self, room: str, end: LogEnd) -> None:
        seconds, now = self._options.id_ttl, time.time()
        # What comes while this reads is put in by `LogEnd.take`.
        ids = end.ids = RememberedIds(self._options.ids, seconds, time.time)
        policy: dict[str, Any] = {
            "deliver_policy": DeliverPolicy.BY_START_TIME,
            "opt_start_time": datetime.fromtimestamp(now - seconds, UTC),
        }
        async for _, at, batch in self._batches(room, **policy):
            for number, id, _ in batch.numbered():
                if id and end.head.common(Position(batch.epoch, number)) == number:
                    ids.put(id, number, at)

    async def head(self, room: str) -> tuple[LogHead, int]:
        """Where a room's log ends now, and the number in the stream of its last batch. The log
        begins if there is none."""
        async with self._lock(room):
            end = await self._look(room)
            while not end.sequence:
                end = await self._begin(room)
            return end.head, end.sequence

    async def _begin(self, room: str) -> LogEnd:
        """Store a batch without records, which says where the log is."""
        end = await self.end(room)
        await self._write(room, end, end.next_batch(self._life))
        return await self.end(room)

    # --- reading ------------------------------------------------------------------------------

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        """The last messages of a room, of whatever epoch."""
        end = await self._find_end(room)
        found = [
            (Position(batch.epoch, number), data)
            for batch in await self._last_batches(room, end.sequence, count)
            for number, _, data in batch.numbered()
        ]
        return found[-count:]

    async def _last_batches(self, room: str, last: int, count: int) -> list[Batch]:
        """The last batches of a room with at least so many records, if there are so many and if
        they are not large. They are looked for from the stream's end, in steps that grow."""
        reach = max(count, _REACH)
        while last:
            found: deque[Batch] = deque()
            size = records = 0
            start = max(last - reach + 1, 1)
            async for _, _, batch in self._batches(room, start):
                found.append(batch)
                records += len(batch.records)
                size += _size(batch)
                while size > TAIL_BYTES and len(found) > 1:
                    size -= _size(found[0])
                    records -= len(found.popleft().records)
            if start == 1 or records >= count or size > TAIL_BYTES // 2:
                return list(found)
            reach *= 4
        return []

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        """The messages between two numbers; see `Broker.read`."""
        head, _ = await self.head(room)
        found: list[tuple[int, bytes]] = []
        batches = self._batches(room, await self.start(room, head, after))
        async with aclosing(batches):
            async for _, _, batch in batches:
                for number, _, data in batch.numbered():
                    if number > until or most_bytes < 0:
                        return found
                    if number > after and head.common(Position(batch.epoch, number)) == number:
                        found.append((number, data))
                        most_bytes -= len(data)
        return found

    async def start(self, room: str, head: LogHead, after: int) -> int:
        """Where in the stream to begin, to read everything of a room's log after a number."""
        last, reach = (await self.end(room)).sequence, 1
        while last - reach > 0:
            start = last - reach + 1
            batches = self._batches(room, start)
            async with aclosing(batches):
                async for _, _, batch in batches:
                    before = Position(batch.epoch, batch.first - 1)
                    if batch.first <= after + 1 or head.common(before) < before.number:
                        return start
                    break
            reach = max(4 * reach, _REACH)
        return 1

    async def _batches(
        self, room: str, start: int = 0, **policy: Any
    ) -> AsyncGenerator[tuple[int, float, Batch], None]:
        """A room's batches from a number of the stream on, with their numbers and times."""
        if start:
            policy = {
                "deliver_policy": DeliverPolicy.BY_START_SEQUENCE,
                "opt_start_seq": start,
            }
        messages = stored(self._js, self._options.prefix, self.subject(room), **policy)
        async with aclosing(messages):
            async for message in messages:
                batch = self._read_batch(room, message.data)
                if batch is not None:
                    meta = message.metadata
                    yield meta.sequence.stream, meta.timestamp.timestamp(), batch


async def stored(
    js: JetStreamContext, stream: str, subject: str, **policy: Any
) -> AsyncGenerator[Msg, None]:
    """What is stored of a subject by a policy."""
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, inactive_threshold=10, mem_storage=True, **policy
    )
    reader = await js.pull_subscribe(subject, stream=stream, config=config)
    try:
        there = (await reader.consumer_info()).num_pending or 0
        page = _FIRST_PAGE
        while there > 0:
            try:
                some = await reader.fetch(min(there, page), timeout=_READ_TIMEOUT)
            except TimeoutError:
                if (await reader.consumer_info()).num_pending:
                    raise
                return  # the rest has been replaced or has expired meanwhile
            there -= len(some)
            for message in some:
                yield message
            largest = max(len(message.data) for message in some)
            page = max(1, min(_PAGE, TAIL_BYTES // max(largest, 1)))
    finally:
        await reader.unsubscribe()


def room_token(room: str) -> str:
    """A room's name as NATS can use it in subjects and keys."""
    return urlsafe_b64encode(room.encode()).decode().rstrip("=")


def room_of(token: str) -> str | None:
    """The room of a token; ``None`` if it is none of ours."""
    try:
        room = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        return None
    return room if room_token(room) == token else None  # base64 passes over other characters


def _size(batch: Batch) -> int:
    return sum(len(data) for _, data in batch.records)
