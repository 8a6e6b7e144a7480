"""Cases about plugins that are neither extensions nor interceptors: modules with hooks."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from wsext.errors import OptionError, PluginError
from wsext.rooms.settings import RoomOptions
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.options import NamedOptionSet
from wsext.sdk.plugins import default_plugins
from wsext.testing.cases_base import check_hooks, skip

__all__ = ["PluginCases"]


class PluginCases:
    """What an operator may rely on when a plugin is installed.

    Attributes:
        plugin: The loaded plugin: a module or an object.
    """

    plugin: ClassVar[Any]

    def test_it_has_known_hooks(self) -> None:
        """It implements at least one hook, and no function is named like a hook that is none."""
        check_hooks(self.plugin)

    def test_it_is_described(self) -> None:
        """It has a docstring for `wsext ext show`."""
        assert (inspect.getdoc(self.plugin) or "").strip(), "it has no docstring"

    def option_sets(self) -> list[NamedOptionSet]:
        """The option sets that it brings; skips the case when there are none."""
        if not hasattr(self.plugin, "wsext_option_sets"):
            skip("it brings no option sets")
        return list(self.plugin.wsext_option_sets())

    def test_its_option_sets_are_described(self) -> None:
        """Every option set has a name of its own and a description."""
        names = [named.name for named in self.option_sets()]
        assert len(names) == len(set(names)), f"a name comes twice: {names}"
        for named in self.option_sets():
            assert named.description, f"{named.name} has no description"

    def test_its_option_sets_can_be_applied(self) -> None:
        """Every option set names installed extensions and options that they take."""
        for named in self.option_sets():
            for token, options in named.extensions.items():
                try:
                    default_plugins().extension(token)(**options)
                except (OptionError, PluginError) as error:
                    raise AssertionError(f"{named.name}: {error}") from error
            try:
                WebSocketOptions.parse(named.websocket)
                RoomOptions.parse(named.rooms)
            except OptionError as error:
                raise AssertionError(f"{named.name}: {error}") from error

    def test_its_commands_can_be_added(self) -> None:
        """Its commands have names and help."""
        if not hasattr(self.plugin, "wsext_commands"):
            skip("it brings no commands")
        import click

        group = click.Group()
        self.plugin.wsext_commands(cli=group)
        assert group.commands, "it added no command"
        for name, command in group.commands.items():
            assert command.help, f"the command {name} has no help"
