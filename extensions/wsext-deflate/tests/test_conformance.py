"""The conformance kit, on every backend and on the asynchronous codec."""

from __future__ import annotations

from typing import Any

import pytest
from wsext_deflate import PermessageDeflate

from wsext.testing.suite import Outcome, run, suite_for

from .conftest import BACKENDS


@pytest.mark.parametrize(
    "options",
    [*({"backend": name} for name in BACKENDS), {"offload_above": 100}, {"live_compressors": 0}],
    ids=str,
)
def test_the_kit_finds_nothing(options: dict[str, Any]) -> None:
    variants: list[dict[str, Any]] = [{}, {"server_no_context_takeover": True}]
    suite = suite_for(PermessageDeflate, options=options, variants=variants, examples=5)
    results = list(run(suite))
    assert len(results) > 20
    assert [item for item in results if item.outcome is Outcome.FAILED] == []
