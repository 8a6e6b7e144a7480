"""The cases about local interceptors catch some that are each wrong in one way."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from tests.testing.mutants import Mutants, check_caught
from wsext import (
    Frame,
    Interceptor,
    hookimpl,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


@caught_by("test_its_hooks_are_known")
class TypoInTheHook(Interceptor):
    """A hook that nobody calls."""

    name: ClassVar[str] = "typo"

    @hookimpl
    def wsext_frame_recieved(self, frame: Frame) -> None:
        """Never called."""


@caught_by("test_no_frame_makes_it_raise")
class TrustsText(Interceptor):
    """Takes every payload for UTF-8."""

    name: ClassVar[str] = "trusting"

    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> None:
        bytes(frame.payload).decode()


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
