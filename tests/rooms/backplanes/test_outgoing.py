"""What waits for a broker: bounded, in order, and kept for a while when it was taken."""

from __future__ import annotations

import asyncio
import logging

import pytest

from wsext import BackplaneStatus, OutcomeUnknown, PublishError
from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.outgoing import OutgoingRecords
from wsext.rooms.backplanes.positions import LogHead, Position


def record(number: int, room: str = "tea", size: int = 10) -> Record:
    return Record(room, number, f"me-{number}", bytes(size))


@pytest.fixture
def status() -> BackplaneStatus:
    return BackplaneStatus()


def numbers(records: list[Record]) -> list[int]:
    return [each.number for each in records]


def test_what_is_taken_and_confirmed_counts_as_published(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1000)
    assert not outgoing
    for number in (1, 2, 3):
        outgoing.put(record(number))
    assert (bool(outgoing), status.queued, status.queued_bytes) == (True, 3, 30)
    assert numbers(outgoing.take()) == [1, 2, 3]
    outgoing.confirm()
    assert (bool(outgoing), status.queued, status.queued_bytes, status.published) == (
        *(False, 0, 0, 3),
    )


def test_the_oldest_go_when_too_much_waits_and_the_first_loss_is_logged(
    status: BackplaneStatus, caplog: pytest.LogCaptureFixture
) -> None:
    outgoing = OutgoingRecords(status, 25)
    with caplog.at_level(logging.WARNING, "wsext.backplane"):
        for number in range(1, 6):
            outgoing.put(record(number))
    assert numbers(outgoing.take()) == [4, 5]
    assert status.dropped == 3
    assert caplog.text.count("the oldest is given up") == 1
    outgoing.confirm()
    outgoing.put(record(6, size=100))  # a single one may be larger
    assert numbers(outgoing.take()) == [6]


def test_it_is_long_when_more_than_half_of_the_bound_waits(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 40)
    outgoing.put(record(1))
    outgoing.put(record(2))
    assert not outgoing.is_long
    outgoing.put(record(3))
    assert outgoing.is_long


def test_so_much_is_sent_at_once_and_no_more(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1 << 30)
    for number in range(1000):
        outgoing.put(record(number))
    assert numbers(outgoing.take()) == list(range(256))
    outgoing.confirm()
    large = OutgoingRecords(BackplaneStatus(), 1 << 30)
    for number in range(5):
        large.put(record(number, size=1 << 19))
    assert numbers(large.take()) == [0, 1]


def test_after_a_reconnection_what_the_broker_lacks_is_sent_again_in_order(
    status: BackplaneStatus,
) -> None:
    outgoing = OutgoingRecords(status, 1000)
    for number in (1, 2, 3):
        outgoing.put(record(number))
    outgoing.take()
    outgoing.confirm()
    outgoing.put(record(4, "coffee"))
    outgoing.take()  # under way when the connection was lost
    outgoing.put(record(5))
    assert outgoing.rooms() == {"tea", "coffee"}
    outgoing.sort_out({"tea": 1, "coffee": 0})
    assert numbers(outgoing.take()) == [2, 3, 4, 5]
    outgoing.confirm()
    assert (status.published, status.queued, status.queued_bytes) == (5, 0, 0)


def test_what_was_under_way_and_arrived_is_not_sent_again(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1000)
    outgoing.put(record(1))
    outgoing.take()
    outgoing.sort_out({"tea": 1})
    assert not outgoing
    assert (status.published, status.queued) == (1, 0)


def test_what_a_broker_never_takes_is_given_up(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1000)
    for number, size in enumerate((10, 500, 10), 1):
        outgoing.put(record(number, size=size))
    outgoing.take()
    outgoing.sort_out({}, 100)
    assert numbers(outgoing.take()) == [1, 3]
    assert (status.dropped, status.queued_bytes) == (1, 20)


def test_tiny_messages_are_bounded_by_their_number(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1 << 30)
    tiny = record(1, size=1)
    for _ in range(70_000):
        outgoing.put(tiny)
    assert (status.queued, status.dropped) == (1 << 16, 70_000 - (1 << 16))


def test_a_room_asks_for_its_own_by_their_numbers(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1000)
    for number in range(1, 7):
        outgoing.put(record(number, "tea" if number % 2 else "coffee"))
    assert numbers(outgoing.of("tea", 1, 5)) == [3, 5]


class Outcome:
    """A message with an outcome."""

    def __init__(self, outgoing: OutgoingRecords, number: int, size: int = 10) -> None:
        self.future: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()
        outgoing.put(record(number, size=size), self.future)

    @property
    def error(self) -> BaseException | None:
        return self.future.exception()


async def test_an_outcome_is_known_when_the_broker_has_taken_the_message(
    status: BackplaneStatus,
) -> None:
    outgoing = OutgoingRecords(status, 1000)
    one = Outcome(outgoing, 1)
    outgoing.put(record(2))
    outgoing.take()
    assert not one.future.done()
    outgoing.confirm()
    assert one.future.done()
    assert one.error is None
    two = Outcome(outgoing, 3)
    outgoing.take()
    outgoing.sort_out({"tea": 3})
    assert two.error is None


async def test_what_is_given_up_is_not_sent_and_tells_whether_it_was(
    status: BackplaneStatus,
) -> None:
    outgoing = OutgoingRecords(status, 1000)
    sent, waits = Outcome(outgoing, 1), Outcome(outgoing, 3)
    assert numbers(outgoing.take()) == [1, 3]
    outgoing.sort_out({})
    assert numbers(outgoing.take()) == [1, 3]
    outgoing.put(record(4))
    never = Outcome(outgoing, 5)
    outgoing.give_up(1, "too late")
    assert status.queued == 3
    outgoing.give_up_all("the end")
    assert (status.queued, status.queued_bytes) == (1, 10)
    assert isinstance(sent.error, OutcomeUnknown)
    assert isinstance(waits.error, OutcomeUnknown)
    assert type(never.error) is PublishError
    assert [each.future.done() for each in (sent, waits, never)] == [True] * 3
    outgoing.confirm()
    outgoing.sort_out({})
    assert numbers(outgoing.take()) == [4]


async def test_where_the_broker_has_put_it_is_the_outcome(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 1000)
    one, two = Outcome(outgoing, 1), Outcome(outgoing, 2)
    taken = outgoing.take()
    outgoing.refuse(taken[1], "no room for it")
    outgoing.confirm({1: Position("e", 7)})
    assert one.future.result() == ("e", 7)
    assert type(two.error) is PublishError
    assert outgoing.last_in(LogHead("e", 7), "tea") == 1
    assert outgoing.last_in(LogHead("e", 7), "coffee") == 0
    assert outgoing.last_in(LogHead("e", 6), "tea") == 0
    outgoing.sort_out({"tea": 2})
    assert outgoing.last_in(LogHead("e", 7), "tea") == 1


async def test_what_has_to_go_tells_so(status: BackplaneStatus) -> None:
    outgoing = OutgoingRecords(status, 25)
    first, large = Outcome(outgoing, 1), Outcome(outgoing, 2, size=20)
    assert type(first.error) is PublishError
    assert "too much waits" in str(first.error)
    outgoing.sort_out({}, most=15)
    assert "too large" in str(large.error)
