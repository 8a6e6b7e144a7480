"""A small run of the chaos bench: sessions on a network that breaks."""

from __future__ import annotations

import pytest

from tests.chaos.cuts import cut


@pytest.mark.parametrize(("kind", "workers"), [("plain", 2), ("deflate", 1)])
def test_nothing_is_lost_when_connections_are_cut(kind: str, workers: int) -> None:
    outcome = cut(kind, workers, sessions=8, cuts=60, seed=7, pause=0.05, reach=2000)
    assert not outcome.wrong, outcome
    assert outcome.endings.total() == 60
    assert outcome.resumptions >= 30  # some cuts hit an attempt that had not resumed yet
