"""A room's log in NATS: what its messages hold, and what a process knows of its end; no I/O.

All rooms share one stream, whose own numbers say nothing about one room. So the writer gives the
numbers: each message is a batch of records with the number of the first. It is stored only if the
room's last message is still the one that the writer has seen, so every number is given once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.ids import RememberedIds
from wsext.rooms.backplanes.positions import MOST_EPOCHS, LogHead, Position, new_epoch

__all__ = ["BATCHES", "OVERHEAD", "Batch", "LogEnd"]

#: Bytes of a batch beside its records, at most, and of a record beside its data.
OVERHEAD = 2048
_PER_RECORD = 256

_Epoch = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
_Number = Annotated[int, Meta(ge=0, le=1 << 53)]


class Batch(msgspec.Struct, array_like=True):
    """One message of the stream.

    Attributes:
        epoch: The log's epoch.
        first: The number of the first record. Without records it is the one that comes next.
        life: The life of the server in which it was written.
        earlier: The last position of the epochs before.
        records: Each record's id, which may be empty, and its data.
    """

    epoch: _Epoch
    first: Annotated[int, Meta(ge=1, le=1 << 53)]
    life: Annotated[str, Meta(max_length=128)]
    earlier: Annotated[list[tuple[_Epoch, _Number]], Meta(max_length=MOST_EPOCHS)]
    records: list[tuple[Annotated[str, Meta(max_length=1024)], bytes]]

    @property
    def head(self) -> LogHead:
        """The log's end when this was its last batch."""
        earlier = tuple(Position(*last) for last in self.earlier)
        return LogHead(self.epoch, self.first + len(self.records) - 1, earlier)

    def numbered(self) -> Iterator[tuple[int, str, bytes]]:
        """Each record's number, id and data."""
        for number, (id, data) in enumerate(self.records, self.first):
            yield number, id, data


BATCHES = msgspec.msgpack.Decoder(Batch)


class LogEnd:
    """The end of a room's log, as far as this process knows it.

    Attributes:
        head: Where it ends.
        life: The life of the server in which the last batch was written.
        sequence: The last batch's number in the stream; 0 if there is none.
        batch: The last batch that was read when this was made, if there was one.
        at: When this was last changed, in seconds of the monotonic clock.
        ids: What is known by id, once somebody has asked.
    """

    def __init__(self, batch: Batch | None, sequence: int) -> None:
        self.head = LogHead(new_epoch(), 0) if batch is None else batch.head
        self.life = "" if batch is None else batch.life
        self.sequence = sequence
        self.batch = batch
        self.at = time.monotonic()
        self.ids: RememberedIds | None = None

    def take(self, batch: Batch, sequence: int) -> None:
        """A batch has been stored, or was found."""
        if sequence <= self.sequence:
            return
        if batch.first != self.head.number + 1:
            self.ids = None  # there are others that this process has not seen
        self.head, self.life, self.sequence = batch.head, batch.life, sequence
        self.at = time.monotonic()
        if self.ids is not None:
            for number, id, _ in batch.numbered():
                if id:
                    self.ids.put(id, number)

    def next_batch(self, life: str) -> Batch:
        """What comes next, still without records. In another life of the server the log may have
        lost its end: a new epoch begins."""
        head = self.head
        if self.sequence and life != self.life:
            head = head.renewed()
        return Batch(head.epoch, head.number + 1, life, list(head.earlier), [])

    def plan(
        self, records: Sequence[Record], life: str, most: int, *, remember: bool
    ) -> tuple[Batch | None, list[tuple[Position, bool]]]:
        """The next batch, and where it and the ids put the first of the records.

        Args:
            records: What is to be stored.
            life: The server's life now.
            most: Bytes that the batch may have.
            remember: Whether ids are looked up and stored.
        """
        batch = self.next_batch(life)
        numbers: dict[str, int] = {}
        placed: list[tuple[Position, bool]] = []
        size = OVERHEAD
        for record in records:
            id = record.id if remember else ""
            was = numbers.get(id) if id else None
            if was is None and id and self.ids is not None:
                was = self.ids.find(id)
            if was is not None:
                placed.append((Position(batch.epoch, was), True))
                continue
            size += len(record.data) + _PER_RECORD
            if batch.records and size > most:
                break
            number = batch.first + len(batch.records)
            batch.records.append((id, record.data))
            if id:
                numbers[id] = number
            placed.append((Position(batch.epoch, number), False))
        return (batch if batch.records else None), placed
