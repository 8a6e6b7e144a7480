"""The token bucket, and what is logged once a minute."""

from __future__ import annotations

from wsext.runtime.rates import Bucket, Rarely


def test_a_burst_is_there_at_once_and_then_the_rate_decides() -> None:
    bucket = Bucket(rate=10, burst=2, now=100.0)
    assert bucket.take(20, 100.0) == 0.0
    assert bucket.take(1, 100.0) == 0.1
    assert bucket.take(1, 100.2) == 0.0
    assert bucket.take(21, 200.0) == 0.1  # no more is saved up than the burst


def test_what_is_given_back_was_never_taken() -> None:
    bucket = Bucket(rate=1, burst=1, now=0.0)
    assert bucket.take(1, 0.0) == 0.0
    assert bucket.take(1, 0.0) == 1.0
    bucket.give_back(1)
    assert bucket.take(1, 1.0) == 0.0


def test_one_that_was_left_alone_is_full_and_a_slow_one_has_room_for_one() -> None:
    bucket = Bucket(rate=0.1, burst=2, now=0.0)
    assert bucket.is_full(0.0)
    assert bucket.take(1, 0.0) == 0.0
    assert not bucket.is_full(9.0)
    assert bucket.is_full(10.0)


def test_what_happens_often_is_logged_once_a_minute() -> None:
    log: list[str] = []
    now = 100.0
    rarely = Rarely(lambda text, *values, stacklevel: log.append(text % values), lambda: now)
    for _ in range(5):
        rarely("no %s", "place")
    assert log == ["no place"]
    now += 60
    rarely("no %s", "means")
    assert log == ["no place", "no means (and 4 times more before)"]
    now += 60
    rarely("no %s", "place")
    assert log[2:] == ["no place"]
