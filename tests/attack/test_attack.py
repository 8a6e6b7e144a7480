"""Every attack for a moment, with the bounds of SECURITY.md, but for how long honest sessions wait:
other tests run at the same time. ``python -m tests.attack`` is the whole of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest

from tests.attack.fronts import key_of
from tests.attack.registry import Attack, load
from tests.attack.running import Bounds, bystanders, run

ROOT = Path(__file__).parents[2]
BOUNDS = Bounds(p99=1.0, newcomer=5.0)
SECONDS = 0.2


def _groups() -> dict[str, list[tuple[Attack, str]]]:
    """Each attack on one of its fronts; those that can share a server, at most twelve, together."""
    found: dict[object, list[tuple[Attack, str]]] = defaultdict(list)
    for number, attack in enumerate(load().values()):
        if attack.short:
            front = attack.fronts[number % len(attack.fronts)]
            found[key_of(attack, front)].append((attack, front))
    parts = [group[at : at + 12] for group in found.values() for at in range(0, len(group), 12)]
    return {f"{group[0][0].name}, {len(group)} in all": group for group in parts}


GROUPS = _groups()


@pytest.mark.parametrize("name", GROUPS)
def test_attacks_cost_no_more_than_is_promised(name: str) -> None:
    (attack, front), *_ = GROUPS[name]
    with bystanders(attack, front) as around:
        for attack, front in GROUPS[name]:
            work = run(attack, front, around, seconds=SECONDS, rest=0, bounds=BOUNDS)
            result = asyncio.run(work)
            assert result.holds, f"{attack.name}, {front}: {'; '.join(result.problems)}"
