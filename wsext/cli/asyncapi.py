"""``wsext asyncapi``: an app's routes and types as an AsyncAPI document."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from wsext.app.asyncapi import document
from wsext.cli.common import Choice, fail, plugins_from
from wsext.cli.loading import ASGIApplication, load_app
from wsext.cli.results import as_json
from wsext.errors import OptionError

__all__ = ["asyncapi"]


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option(
    "--output", type=click.Path(dir_okay=False), help="Write to this file, not to stdout."
)
@click.option(
    "--format", "as_format", type=Choice(["json", "yaml"]),
    help="What to write.  [default: yaml for a file named so, else json]",
)  # fmt: skip
@click.option("--title", help="Name of the API.  [default: the module's]")
@click.option("--api-version", default="1.0.0", show_default=True, help="Version of the API.")
@click.option("--server", metavar="URL", help="Where it is served: wss://example.org")
@click.option(
    "--app-dir", default=".", show_default=True, type=click.Path(file_okay=False, exists=True),
    help="Folder to import the app from.",
)  # fmt: skip
def asyncapi(
    app: str,
    output: str | None,
    as_format: str | None,
    title: str | None,
    api_version: str,
    server: str | None,
    app_dir: str,
) -> None:
    """Write the AsyncAPI 3.0 document of an app: its routes, and the types of its messages.

    The extensions are those that the app installs itself, wherever it will be served.

    \b
    wsext asyncapi orders:app --server wss://api.example.org --output asyncapi.yaml
    """
    plugins_from(None)  # what may not be loaded
    target = load_app(app, app_dir)
    if isinstance(target, ASGIApplication):
        problem = f"{app} is an ASGI app, and the routes of an App of wsext are described"
        raise OptionError("serve", "app", problem)
    try:
        made = document(
            target, title=title or app.partition(":")[0], version=api_version, server=server
        )
    except ValueError as error:
        raise OptionError("asyncapi", "server", str(error)) from None
    except TypeError as error:
        fail(str(error))
    if as_format is None:
        as_format = "yaml" if output and output.endswith((".yaml", ".yml")) else "json"
    text = _yaml(made) if as_format == "yaml" else as_json(made) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror or error}")


def _yaml(value: object) -> str:
    try:
        return msgspec.yaml.encode(value).decode()
    except ImportError:
        fail("YAML needs PyYAML: pip install pyyaml, or --format json", 2)
