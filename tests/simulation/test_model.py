"""Two sessions against a model: every message arrives once and in order, or the session ended with
a code that says so; nothing grows beyond its bound."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.__main__ import run
from tests.simulation.general import draw
from wsext.testing import seeds

#: Each block of seeds is one test, so that they can be spread over processes.
BLOCK = 100


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), seed=st.integers(0, 1 << 32))
def test_any_program_keeps_to_the_model(rng: Random, seed: int) -> None:
    run(draw(rng), seed)


@pytest.mark.parametrize("first", range(0, 1000, BLOCK))
def test_a_thousand_seeds_keep_to_the_model(first: int) -> None:
    findings = []
    for seed in seeds(BLOCK, first):
        try:
            run(draw(Random(seed)), seed)
        except Exception as error:
            error.add_note(f"python -m tests.simulation --seed {seed}")
            findings.append(error)
    if findings:
        raise ExceptionGroup(f"{len(findings)} of {BLOCK} seeds", findings[:5])
