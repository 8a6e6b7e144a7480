"""Batches: what the next one is, and what a process learns from others'."""

from __future__ import annotations

import msgspec
import pytest

from tests.rooms.backplanes.logs import record
from wsext.rooms.backplanes.ids import RememberedIds
from wsext.rooms.backplanes.nats_log import BATCHES, Batch, LogEnd
from wsext.rooms.backplanes.positions import MOST_EPOCHS, Position


def test_a_batch_says_where_the_log_is() -> None:
    batch = Batch("e", 5, "s", [("d", 2)], [("i", b"x"), ("", b"y")])
    assert BATCHES.decode(msgspec.msgpack.encode(batch)) == batch
    assert batch.head == ("e", 6, (Position("d", 2),))
    assert list(batch.numbered()) == [(5, "i", b"x"), (6, "", b"y")]
    assert Batch("e", 5, "s", [], []).head.number == 4


@pytest.mark.parametrize(
    "batch",
    [
        *(("", 1, "", [], []), ("e:", 1, "", [], []), ("e", 0, "", [], []), ("e", 1, "", [], [1])),
        ("e", 1, "", [("d", -1)], []),
        ("e", 1, "", [("d", 1)] * (MOST_EPOCHS + 1), []),
        ("e", 1, "", [], [("x" * 2000, b"")]),
        ("e", 1 << 60, "", [], []),
    ],
)
def test_what_is_none_is_refused(batch: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        BATCHES.decode(msgspec.msgpack.encode(batch))


def test_batches_are_planned_one_after_the_other() -> None:
    end = LogEnd(None, 0)
    records = [record("a" * 600), record("b" * 600), record("b" * 600), record("c")]
    batch, placed = end.plan(records, "s", 5000, remember=True)
    assert batch is not None
    assert [number for number, _, _ in batch.numbered()] == [1, 2, 3]
    assert [(position.number, repeated) for position, repeated in placed] == [
        *((1, False), (2, False), (2, True), (3, False))
    ]
    end.take(batch, 17)
    end.take(batch, 17)
    batch, placed = end.plan(records[:1] * 9, "s", 3000, remember=False)
    assert batch is not None
    assert (batch.first, len(batch.records), len(placed)) == (4, 1, 1)  # the rest is too large


def test_another_life_of_the_server_is_another_epoch() -> None:
    end = LogEnd(Batch("e", 1, "s", [], [("", b"x")]), 4)
    assert end.next_batch("s").epoch == "e"
    batch = end.next_batch("t")
    assert (batch.first, batch.life, batch.earlier) == (2, "t", [Position("e", 1)])
    assert batch.epoch != "e"


def test_ids_are_known_as_long_as_no_batch_is_missing() -> None:
    end = LogEnd(Batch("e", 1, "s", [], [("a", b"x")]), 4)
    end.ids = RememberedIds(9, 9)
    end.take(Batch("e", 2, "s", [], [("b", b"x"), ("", b"y")]), 6)
    assert end.ids.find("b") == 2
    assert end.head.number == 3
    end.take(Batch("e", 5, "s", [], [("d", b"x")]), 9)
    assert end.ids is None
    assert end.head.number == 5
