"""The cases about plugins of hooks catch plugins that are each wrong in one way."""

from __future__ import annotations

from typing import Any

import click

from tests.testing.mutants import Mutants
from wsext import NamedOptionSet, hookimpl
from wsext.testing.suite import Outcome, run, suite_for

MUTANTS = Mutants()


def wrong(case: str) -> Any:
    """A plugin is an object; the case that is meant for it."""

    def register(kind: Any) -> Any:
        MUTANTS.caught_by(case)(kind())
        return kind

    return register


class Right:
    """Brings an option set and a command."""

    @hookimpl
    def wsext_option_sets(self) -> list[NamedOptionSet]:
        made = {"permessage-deflate": {"level": 1}}
        return [NamedOptionSet("quick", "little work", made, {"ping_interval": 5})]

    @hookimpl
    def wsext_commands(self, cli: click.Group) -> None:
        @cli.command(help="says hello")
        def hello() -> None:
            click.echo("hello")


def test_a_plugin_that_is_right_passes_every_case() -> None:
    results = list(run(suite_for(Right())))
    assert {item.outcome for item in results} == {Outcome.PASSED}


def test_what_a_plugin_does_not_bring_is_skipped_with_the_reason() -> None:
    class Quiet:
        """Looks on."""

        @hookimpl
        def wsext_session_opened(self) -> None:
            pass

    skipped = {i.name: i.detail for i in run(suite_for(Quiet())) if i.outcome is Outcome.SKIPPED}
    assert skipped["test_its_commands_can_be_added"] == "it brings no commands"
    assert skipped["test_its_option_sets_can_be_applied"] == "it brings no option sets"


@wrong("test_it_has_known_hooks")
class Idle:
    """Has no hook."""


@wrong("test_it_has_known_hooks")
class Unmarked:
    """Forgot to mark its hook."""

    def wsext_session_opened(self) -> None:
        pass


@wrong("test_its_option_sets_are_described")
class Silent(Right):
    """Does not describe its option set."""

    @hookimpl
    def wsext_option_sets(self) -> list[NamedOptionSet]:
        return [NamedOptionSet("quick", "")]


@wrong("test_its_option_sets_can_be_applied")
class Wishful(Right):
    """Sets an option out of its bounds."""

    @hookimpl
    def wsext_option_sets(self) -> list[NamedOptionSet]:
        made = {"permessage-deflate": {"level": 99}}
        return [NamedOptionSet("quick", "too much work", made)]


@wrong("test_its_option_sets_can_be_applied")
class Odd(Right):
    """Sets an option that there is not."""

    @hookimpl
    def wsext_option_sets(self) -> list[NamedOptionSet]:
        return [NamedOptionSet("quick", "little work", {}, {"pong_interval": 5})]


@wrong("test_its_commands_can_be_added")
class Terse(Right):
    """Has a command without help."""

    @hookimpl
    def wsext_commands(self, cli: click.Group) -> None:
        cli.add_command(click.Command("hello"))


class Undescribed:
    @hookimpl
    def wsext_session_opened(self) -> None:
        pass


wrong("test_it_is_described")(Undescribed)


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
