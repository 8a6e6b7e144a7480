"""``wsext completion``: the script that teaches a shell to complete wsext's commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wsext.cli.common import Choice

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(wsext completion bash)"          in ~/.bashrc
    zsh:   eval "$(wsext completion zsh)"           in ~/.zshrc
    fish:  wsext completion fish > ~/.config/fish/completions/wsext.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # Choice lets nothing else pass
    complete = kind(ctx.find_root().command, {}, "wsext", "_WSEXT_COMPLETE")
    # Not `source()`: bash's asks the installed bash for its version, which this does not need.
    click.echo(complete.source_template % complete.source_vars())
