"""What several commands share: options, messages, one-line errors, completion of names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from wsext.cli.logs import complain
from wsext.config.applying import allowed_plugins, plugins_of
from wsext.config.configuration import Config
from wsext.config.sections import dotted_names
from wsext.config.sources import HERE, read_config, take_extension, take_setting
from wsext.errors import PluginError, nearest
from wsext.escape import escape, safe_text
from wsext.sdk.options import option_fields
from wsext.sdk.plugins import Plugins, PluginStatus

__all__ = [
    "Choice",
    "ExtensionArgument",
    "ExtensionToken",
    "OptionSetName",
    "SettingName",
    "config_option",
    "fail",
    "json_option",
    "plugins_from",
    "server_config_option",
    "set_option",
    "show_message",
    "take_options",
]


def plugins_from(config: str | None) -> Plugins:
    """The plugins that may be loaded, by a file that was named.

    Raises:
        OptionError: If it cannot be read.
    """
    return plugins_of(read_config(config, trust_folder=False))


def take_options(
    conf: Config, *, settings: Iterable[str] = (), extensions: Iterable[str] = ()
) -> None:
    """Take what ``--set`` and ``--ext`` say; what is wrong is noted, to be told with the rest."""
    for text in extensions:
        with conf.noting():
            take_extension(conf, text, "--ext")
    for text in settings:
        with conf.noting():
            take_setting(conf, text, "--set")


def show_message(data: str | bytes, mark: str = "") -> None:
    """Print a message: as it came into a pipe or a file, and escaped on a terminal.

    On a terminal, the lines after a message's first one are indented, so as to be no others.
    """
    if sys.stdout.isatty():
        text = data if isinstance(data, str) else f"{len(data)} bytes: {data.hex(' ')}"
        click.echo(mark + escape(text, keep="\n\t").replace("\n", "\n  "))
    else:
        sys.stdout.buffer.write((data.encode() if isinstance(data, str) else data) + b"\n")
        sys.stdout.flush()


def fail(message: str, code: int = 1) -> NoReturn:
    """End with one line on stderr, whatever a server or a URL has in it."""
    complain(safe_text(message))
    raise SystemExit(code)


class Choice(click.Choice):  # type: ignore[type-arg]  # generic since click 8.2 only
    """One of some words; of another one the error says which is the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            close = nearest(str(value), map(str, self.choices))
            if close is None:
                raise
            raise click.BadParameter(
                f"{error.message} Did you mean {close!r}?", ctx, param
            ) from None


# --- completion of names ----------------------------------------------------------------------


def _plugins_for(ctx: click.Context) -> Plugins:
    return allowed_plugins(ctx.params.get("config"))


class _Names(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A text whose completions are known names."""

    name = "text"

    def names(self, plugins: Plugins) -> Iterable[tuple[str, str]]:
        """Names with a short help each."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=text)
            for name, text in self.names(_plugins_for(ctx))
            if name.startswith(incomplete)
        ]


class ExtensionToken(_Names):
    """The name of an installed plugin."""

    name = "name"

    def names(self, plugins: Plugins) -> Iterable[tuple[str, str]]:
        return [
            (info.name, f"{info.distribution} {info.version}")
            for info in plugins.all()
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
        try:
            kind = _plugins_for(ctx).extension(token)
        except PluginError:
            return []
        done, comma, started = rest.rpartition(",")
        return [
            CompletionItem(f"{token}:{done}{comma}{field.name}=", help=field.description)
            for field in option_fields(kind.Options)
            if field.name.startswith(started) and field.scope != "code"
        ]


class OptionSetName(_Names):
    """The name of an option set that a plugin brings."""

    name = "name"

    def names(self, plugins: Plugins) -> Iterable[tuple[str, str]]:
        return [(named.name, named.description) for named in plugins.option_sets().values()]


class SettingName(_Names):
    """``section.option=value``."""

    name = "section.option=value"

    def names(self, plugins: Plugins) -> Iterable[tuple[str, str]]:
        return [(f"{name}=", "") for name in dotted_names()]


# --- options ----------------------------------------------------------------------------------

config_option = click.option(
    "--config", type=click.Path(dir_okay=False),
    help="Configuration file; a wsext.toml of the current folder only if it is named.",
)  # fmt: skip
#: For commands that serve, and so may trust the folder in which they are started.
server_config_option = click.option(
    "--config", type=click.Path(dir_okay=False),
    help=f"Configuration file.  [default: {HERE}, if there is one]",
)  # fmt: skip
json_option = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
set_option = click.option(
    "--set", "settings", multiple=True, type=SettingName(),
    help="Set any option by its dotted name. Repeatable.",
)  # fmt: skip
