"""What the weather is like: the same for the same chance, and no worse than it says."""

from __future__ import annotations

from random import Random

from wsext.testing import Conditions, calm, mild, rough

SEEDS = range(2000)


def test_a_calm_network_is_fast_and_faultless() -> None:
    assert {calm(Random(seed)) for seed in range(5)} == {Conditions()}


def test_the_same_chance_gives_the_same_conditions() -> None:
    for weather in (mild, rough):
        drawn = [weather(Random(seed)) for seed in range(50)]
        assert drawn == [weather(Random(seed)) for seed in range(50)]
        assert len(set(drawn)) > 20


def test_a_mild_network_loses_nothing() -> None:
    for seed in SEEDS:
        drawn = mild(Random(seed))
        assert (drawn.reset_after, drawn.half_close_after, drawn.refuse) == (None, None, False)
        assert drawn.stall is None or drawn.stall[2] <= 2


def test_a_rough_network_has_every_fault_now_and_then() -> None:
    drawn = [rough(Random(seed)) for seed in SEEDS]
    for share, count in (
        (0.05, sum(each.refuse for each in drawn)),
        (0.30, sum(each.reset_after is not None for each in drawn)),
        (0.15, sum(each.half_close_after is not None for each in drawn)),
    ):
        assert 0.5 * share < count / len(SEEDS) < 1.5 * share
    assert any(each.stall is not None and each.stall[2] > 10 for each in drawn)
    handshake = sum((each.reset_after or 10**6) < 300 for each in drawn)
    assert 0 < handshake < len(SEEDS) * 0.3  # as often in the handshake as in what follows it
