"""``wsext ext new``: a complete package for a new extension, whose tests pass at once."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import click

from wsext.cli.common import Choice, fail
from wsext.scaffold import KINDS, LICENSES, Package, render

__all__ = ["new"]


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=Choice(list(KINDS)), default="message", show_default=True,
    help="; ".join(f"{name}: {text}" for name, text in KINDS.items()) + ".",
)  # fmt: skip
@click.option("--license", "license_", type=Choice(LICENSES), default="MIT", show_default=True)
@click.option(
    "--author",
    help="Who stands in the license, also as NAME <ADDRESS>.  [default: git's user.name]",
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path),
    help="Where to write it.  [default: a new folder NAME]",
)  # fmt: skip
def new(name: str, kind: str, license_: str, author: str | None, folder: Path | None) -> None:
    """Write a package for a new extension: NAME is its token, such as permessage-foo.

    \b
    wsext ext new permessage-foo
    pip install -e permessage-foo
    wsext ext check permessage-foo
    """
    package = Package.named(name)
    folder = folder or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is not an empty folder; choose another place with --dir", 2)
    made = render(package, kind, license_, author or _author())
    for path, text in made.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    click.echo(f"{folder}/ has {package.dist}, {KINDS[kind]}:")
    for path in made:
        click.echo(f"  {path}")
    click.echo("next:")
    click.echo(f"  pip install -e {folder}")
    click.echo(f"  wsext ext check {name}")


def _author() -> str:
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or getpass.getuser()
    except OSError:
        return getpass.getuser()
