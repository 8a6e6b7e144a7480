"""The ``wsext`` command, and where each of its commands is."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import click

from wsext.version import __version__

__all__ = ["cli", "main"]

#: The commands that are imported only when they run: name → module and attribute.
_COMMANDS = {
    "serve": ("wsext.cli.serve", "serve"),
    "connect": ("wsext.cli.connect", "connect"),
    "inspect": ("wsext.cli.inspect", "inspect_"),
    "replay": ("wsext.cli.replay", "replay"),
    "publish": ("wsext.cli.publish", "publish"),
    "rooms": ("wsext.cli.rooms", "rooms"),
    "asyncapi": ("wsext.cli.asyncapi", "asyncapi"),
    "config": ("wsext.cli.config", "config"),
    "ext": ("wsext.cli.ext", "ext"),
    "completion": ("wsext.cli.completion", "completion"),
}


class _Commands(click.Group):
    """The built-in commands, each loaded on demand, and those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_plugin_commands()
        return [*_COMMANDS, *(name for name in sorted(self.commands) if name not in _COMMANDS)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _COMMANDS:
            from importlib import import_module

            module, attribute = _COMMANDS[name]
            command: click.Command = getattr(import_module(module), attribute)
            return command
        self._add_plugin_commands()
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from wsext.errors import nearest

            close = nearest(args[0], self.list_commands(ctx))
            if close is None or args[0].startswith("-"):
                raise
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close!r}?")

    def _add_plugin_commands(self) -> None:
        """Ask the plugins for commands, once; a broken one is named and left out."""
        if getattr(self, "_asked", False):
            return
        self._asked = True
        from wsext.config.applying import allowed_plugins
        from wsext.escape import get_logger
        from wsext.protocol.boundary import FAULTS

        for name, plugin in allowed_plugins().load_all().items():
            contribute = getattr(plugin, "wsext_commands", None)
            if contribute is None:
                continue
            try:
                contribute(cli=self)
            except FAULTS as error:
                get_logger("wsext.plugins").warning(
                    "plugin %s cannot add its commands: %r", name, error
                )


def _print_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from wsext.compiled import CODEC

        click.echo(f"wsext {__version__} (codec: {CODEC})")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
def cli() -> None:
    """WebSocket server, client and extensions."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; every planned error is one line and an exit code of 1 or 2.

    Where several options are wrong, each has its line. No line shows what a URL keeps secret.
    """
    from wsext.compiled import PROBLEM
    from wsext.errors import OptionError, UnknownPlugin, WsextError
    from wsext.escape import safe_text

    if PROBLEM:
        print(f"wsext: {PROBLEM}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    try:
        given = sys.argv[1:] if args is None else args
        code = cli.main(given, prog_name="wsext", obj=given, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        print(safe_text(said.getvalue().rstrip(), keep="\n"), file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except (click.Abort, WsextError) as error:
        from wsext.cli.logs import complain

        if isinstance(error, click.Abort):
            complain("aborted")
            sys.exit(1)
        for line in (str(error), *getattr(error, "__notes__", ())):
            complain(safe_text(line))
        sys.exit(2 if isinstance(error, (OptionError, UnknownPlugin)) else 1)
    except BrokenPipeError:
        # Whoever read our output has gone, for example `head`; that is no error of ours.
        sys.stderr.close()
        sys.exit(1)
