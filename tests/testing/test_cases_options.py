"""The cases about options and names catch extensions that are each wrong in one way."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from tests.testing.mutants import Mutants, Pack, check_caught

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Undocumented(Pack):
    name: ClassVar[str] = "x-undocumented"


Undocumented.__doc__ = None

caught_by("test_it_is_described")(Undocumented)


class BadName(Pack):
    """A name that cannot stand in a header, which its class would not have been made with."""


BadName.name = "x pack"

caught_by("test_name_is_a_token")(BadName)


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
