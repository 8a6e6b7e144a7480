"""Who follows an epoch: only who was sent all of it so far, in order."""

from __future__ import annotations

import pytest

from wsext.protocol.epochs import Encoding, Follower


def encoding(epoch: object, number: int) -> Encoding:
    made = Encoding(b"wire", 2, (0,), ())
    made.epoch, made.number = epoch, number
    return made


def test_the_next_message_of_the_same_epoch_follows() -> None:
    epoch, follower = object(), Follower()
    for number in (1, 2, 3):
        follower.take(encoding(epoch, number), 10)
    assert follower.follows(encoding(epoch, 4))


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_no_other_one_does(number: int) -> None:
    epoch, follower = object(), Follower()
    for taken in (1, 2, 3):
        follower.take(encoding(epoch, taken), 10)
    assert not follower.follows(encoding(epoch, number))
    assert not follower.follows(encoding(object(), 4))


def test_the_first_message_begins_again() -> None:
    epoch, follower = object(), Follower()
    for number in (1, 2, 1):
        follower.take(encoding(epoch, number), 10)
    assert follower.follows(encoding(epoch, 2))


def test_as_much_may_be_told_privately_as_was_told_together_up_to_4_kib() -> None:
    epoch, follower = object(), Follower()
    follower.take(encoding(epoch, 1), 100)
    assert follower.spend(60)
    assert not follower.spend(60)
    assert follower.spend(40)
    follower.take(encoding(epoch, 2), 1 << 20)
    assert follower.spend(4096)
    assert not follower.spend(1)


def test_it_counts_whom_it_has_reached() -> None:
    made = encoding(object(), 1)
    for _ in range(3):
        Follower().take(made, 10)
    assert made.inside == 3
