"""The one queue of what cannot be sent yet: its order, its bounds and its policies."""

from __future__ import annotations

import asyncio

import pytest

from wsext.runtime.outbox import Lane, Outbox, Policy, Waiting


def waiting(data: str, size: int = 10) -> Waiting:
    return Waiting(data, size)


def contents(outbox: Outbox) -> list[str]:
    """What leaves, in the order of leaving; nothing is in then."""
    return [outbox.pop().data for _ in range(len(outbox))]


def test_messages_of_all_lanes_leave_in_the_order_of_their_coming() -> None:
    outbox, app, room = Outbox(), Lane("suspend", 100), Lane("close", 100)
    for number, lane in enumerate((app, room, room, app)):
        assert outbox.put(lane, waiting(str(number)))
    assert (outbox.size, app.size, room.size) == (40, 20, 20)
    assert outbox.first() is not None
    assert contents(outbox) == ["0", "1", "2", "3"]
    assert (outbox.size, app.size, room.size, outbox.first()) == (0, 0, 0, None)


@pytest.mark.parametrize("policy", ["suspend", "close", "coalesce"])
def test_what_has_no_room_is_refused_and_not_in(policy: Policy) -> None:
    outbox, lane = Outbox(), Lane(policy, 25)
    assert [outbox.put(lane, waiting(text)) for text in "abc"] == [True, True, False]
    assert contents(outbox) == ["a", "b"]


def test_one_message_may_be_larger_than_the_bound() -> None:
    outbox, lane = Outbox(), Lane("suspend", 5)
    assert outbox.put(lane, waiting("large", 1000))
    assert not outbox.put(lane, waiting("small", 1))


def test_one_lane_takes_no_room_from_another() -> None:
    outbox, full, other = Outbox(), Lane("suspend", 10), Lane("suspend", 10)
    assert outbox.put(full, waiting("a"))
    assert not outbox.put(full, waiting("b"))
    assert outbox.put(other, waiting("c"))


def test_drop_oldest_makes_room_from_its_own_lane_and_tells() -> None:
    lost: list[str] = []
    outbox, lane, other = Outbox(), Lane("drop-oldest", 30, lost.append), Lane("suspend", 100)
    outbox.put(other, waiting("other"))
    for text in "abcde":
        assert outbox.put(lane, waiting(text))
    assert outbox.put(lane, waiting("large", 25))
    assert contents(outbox) == ["other", "large"]
    assert (lane.dropped, lost) == (5, ["dropped"] * 5)


def test_coalesce_keeps_the_newest_of_each_key_at_its_new_place() -> None:
    lost: list[str] = []
    outbox, lane = Outbox(), Lane("coalesce", 100, lost.append)
    for key, text in (("x", "x1"), ("y", "y1"), (None, "plain"), ("x", "x2"), (None, "again")):
        assert outbox.put(lane, waiting(text), key)
    assert contents(outbox) == ["y1", "plain", "x2", "again"]
    assert (lost, lane.dropped) == (["coalesced"], 0)


def test_another_policy_takes_no_notice_of_keys() -> None:
    outbox, lane = Outbox(), Lane("drop-oldest", 100)
    for text in "ab":
        outbox.put(lane, waiting(text), "same")
    assert contents(outbox) == ["a", "b"]


def test_what_is_put_back_leaves_first() -> None:
    outbox, lane = Outbox(), Lane("drop-oldest", 20)
    for text in "ab":
        outbox.put(lane, waiting(text))
    outbox.put_back(outbox.pop())
    assert outbox.size == lane.size == 20
    outbox.put(lane, waiting("c"))  # the oldest has to go for it
    assert contents(outbox) == ["b", "c"]


def test_only_what_is_still_in_can_be_taken_out_by_its_sender() -> None:
    outbox, lane = Outbox(), Lane("suspend", 100)
    entry = waiting("a")
    outbox.put(lane, entry)
    assert outbox.remove(entry)
    assert not outbox.remove(entry)
    assert (len(outbox), outbox.size, lane.size) == (0, 0, 0)


async def test_who_waits_is_always_taken_and_told_how_it_went() -> None:
    outbox, lane, gone = Outbox(), Lane("suspend", 10), Lane("drop-oldest", 10)
    loop = asyncio.get_running_loop()
    sent, dropped, failed = (Waiting(text, 10) for text in "abc")
    for entry in (sent, dropped, failed):
        entry.waiter = loop.create_future()
    outbox.put(gone, dropped)
    for entry in (sent, failed):
        assert outbox.put(lane, entry)
    outbox.drop(gone)
    outbox.pop().settle()
    outbox.clear(lambda: LookupError("the end"))
    for entry in (sent, dropped):
        assert entry.waiter is not None
        await entry.waiter
    assert failed.waiter is not None
    with pytest.raises(LookupError, match="the end"):
        await failed.waiter
    sent.settle(LookupError("once is enough"))
    assert len(outbox) == 0
