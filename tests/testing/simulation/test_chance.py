"""What is left to chance comes from the seed while a world runs."""

from __future__ import annotations

import random
import secrets
import uuid

from tests.testing.simulation.scenarios import in_virtual_time


def test_chance_comes_from_the_seed_and_is_given_back() -> None:
    async def work() -> tuple[object, ...]:
        return random.random(), secrets.token_hex(8), uuid.uuid4()

    random.seed(99)
    expected = random.random()
    random.seed(99)
    assert in_virtual_time(work, 3) == in_virtual_time(work, 3)
    assert in_virtual_time(work, 3) != in_virtual_time(work, 4)
    assert random.random() == expected
    assert secrets.token_hex(8) != secrets.token_hex(8)
