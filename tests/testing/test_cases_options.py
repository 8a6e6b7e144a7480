"""The cases about options and names catch extensions that are each wrong in one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from tests.testing.mutants import Mutants, Pack
from wsext import OptionError, OptionSet, local

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Undocumented(Pack):
    name: ClassVar[str] = "x-undocumented"


Undocumented.__doc__ = None

caught_by("test_it_is_described")(Undocumented)


class Undescribed(OptionSet):
    """One option without a word."""

    level: int = 1


@caught_by("test_it_is_described")
class SilentOption(Pack):
    """Has an option that is not described."""

    Options: ClassVar[type[OptionSet]] = Undescribed


class Needy(OptionSet):
    """An option that has to be given."""

    key: Annotated[str, local("the key")] = ""

    def check(self) -> None:
        if not self.key:
            raise OptionError("options", "key", "is needed")


@caught_by("test_it_can_be_made_with_its_defaults")
class NeedsAnOption(Pack):
    """Cannot be installed as it is."""

    Options: ClassVar[type[OptionSet]] = Needy


class Patient(OptionSet):
    """Takes what it does not know."""

    level: Annotated[int, local("a level", ge=1, le=9)] = 6

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        known = {name: value for name, value in values.items() if name == "level"}
        return super().parse(known, owner=owner)


@caught_by("test_an_unknown_option_is_refused")
class TakesAnyOption(Pack):
    """Says nothing of options that there are not."""

    Options: ClassVar[type[OptionSet]] = Patient


class Clamps(OptionSet):
    """Takes the nearest level that there is."""

    level: Annotated[int, local("a level", ge=1, le=9)] = 6

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        within = {
            name: max(1, min(value, 9)) if name == "level" else value
            for name, value in values.items()
        }
        return super().parse(within, owner=owner)


@caught_by("test_options_outside_their_bounds_are_refused")
class ClampsItsOption(Pack):
    """Says nothing of a level that there is not."""

    Options: ClassVar[type[OptionSet]] = Clamps


class Changeable(OptionSet, frozen=False):  # type: ignore[call-arg]
    """Can be changed by whoever holds it."""

    level: Annotated[int, local("a level")] = 6


@caught_by("test_an_instance_does_not_change")
class Changes(Pack):
    """Has options that can be changed on the fly."""

    Options: ClassVar[type[OptionSet]] = Changeable


@caught_by("test_the_memory_estimate_is_a_number")
class EstimatesInWords(Pack):
    """Estimates its memory in kilobytes, as text."""

    def memory_estimate(self) -> Any:
        return "32 KB"


class BadName(Pack):
    """A name that cannot stand in a header, which its class would not have been made with."""


BadName.name = "x pack"

caught_by("test_name_is_a_token")(BadName)


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
