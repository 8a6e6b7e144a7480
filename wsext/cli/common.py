"""What several commands share: consoles, one-line errors, completion of names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from wsext.config.applying import plugins_of
from wsext.config.sections import dotted_names
from wsext.config.sources import read_config
from wsext.sdk.plugins import Plugins, PluginStatus

__all__ = [
    "ExtensionArgument",
    "ExtensionToken",
    "OptionSetName",
    "SettingName",
    "as_json",
    "fail",
    "output",
    "plugins_of",
    "read_config",
]


def output() -> Console:
    """Where results go: tables as wide as the terminal, or wide enough not to be cut in a pipe."""
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, width=width, soft_wrap=False)


def fail(message: str, code: int = 1) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"wsext: {message}", err=True)
    raise SystemExit(code)


# --- completion of names ----------------------------------------------------------------------


class _Names(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A text whose completions are known names."""

    name = "text"

    def names(self) -> Iterable[tuple[str, str]]:
        """Names with a short help each."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=text)
            for name, text in self.names()
            if name.startswith(incomplete)
        ]


class ExtensionToken(_Names):
    """The name of an installed plugin."""

    name = "name"

    def names(self) -> Iterable[tuple[str, str]]:
        return [
            (info.name, f"{info.distribution} {info.version}")
            for info in Plugins.from_environment().all()
            if info.status is not PluginStatus.SHADOWED
        ]


class ExtensionArgument(ExtensionToken):
    """``NAME:key=value,…``: completes names, then the option names of that extension."""

    name = "name:key=value,…"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        token, separator, rest = incomplete.partition(":")
        if not separator:
            return super().shell_complete(ctx, param, incomplete)
        from wsext.errors import PluginError
        from wsext.sdk.options import option_fields

        try:
            kind = Plugins.from_environment().extension(token)
        except PluginError:
            return []
        done, comma, started = rest.rpartition(",")
        return [
            CompletionItem(f"{token}:{done}{comma}{field.name}=", help=field.description)
            for field in option_fields(kind.Options)
            if field.name.startswith(started)
        ]


class OptionSetName(_Names):
    """The name of an option set that a plugin brings."""

    name = "name"

    def names(self) -> Iterable[tuple[str, str]]:
        sets = Plugins.from_environment().option_sets().values()
        return [(named.name, named.description) for named in sets]


class SettingName(_Names):
    """``section.option=value``."""

    name = "section.option=value"

    def names(self) -> Iterable[tuple[str, str]]:
        return [(f"{name}=", "") for name in dotted_names()]


def as_json(value: Any) -> str:
    """A value as indented JSON text."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
