"""A server's memory while its application reads nothing of what inflates, and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.measure_memory import (
    ATTACKS,
    KINDS,
    MIB,
    Attack,
    Target,
    attacked,
    serving_bombs,
)
from wsext.compiled import CODEC

#: What a session may cost, and what may be left of all of them. All of it is freed; what is left is
#: what the C library keeps for later, and that is more where objects of many sizes come and go.
PER_SESSION, LEFT = 8 * MIB, (32 if CODEC == "c" else 56) * MIB


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with serving_bombs(tmp_path, address_space=3 << 30) as target:
        yield target


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.sessions} sessions")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_inflates_costs_a_session_no_more_than_its_bound(
    target: Target, kind: str, attack: Attack
) -> None:
    bound = attack.sessions * PER_SESSION
    figures = await attacked(target, kind, attack, enough=bound, left=LEFT)
    assert figures.peak <= bound
    assert figures.left <= LEFT
