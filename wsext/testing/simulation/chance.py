"""Where does what is left to chance come from? From the seed, while a world runs."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[random.Random]:
    """Let `random`, `secrets`, `uuid` and `os.urandom` draw from a seed; then as before.

    What they give meanwhile is no secret.
    """
    rng = random.Random(seed)
    system: Any = random
    urandom, inner = os.urandom, system._urandom  # `secrets` takes the second one
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    bytes_source = random.Random(rng.getrandbits(64))
    os.urandom = bytes_source.randbytes
    system._urandom = bytes_source.randbytes
    try:
        yield rng
    finally:
        os.urandom, system._urandom = urandom, inner
        random.setstate(state)
