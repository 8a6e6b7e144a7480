"""``wsext zstd``: train a dictionary from messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsext import hookimpl

__all__ = ["wsext_commands"]


@hookimpl
def wsext_commands(cli: Any) -> None:
    """Add ``wsext zstd``."""
    cli.add_command(zstd)


@click.group()
def zstd() -> None:
    """Dictionaries for permessage-zstd."""


@zstd.command()
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="messages.zdict",
    show_default=True, help="Where to write the dictionary.",
)  # fmt: skip
@click.option(
    "--size", type=click.IntRange(256, 1 << 20), default=16384, show_default=True,
    help="Bytes of the dictionary, at most.",
)  # fmt: skip
@click.option("--level", type=click.IntRange(1, 19), default=3, show_default=True)
def train(inputs: tuple[Path, ...], output: Path, size: int, level: int) -> None:
    """Train a dictionary from messages, and say what it is worth.

    INPUTS are JSONL files: one message per line, or what wsext-capture wrote. A fifth of the
    messages is kept out of the training, and measured.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from wsext_zstd import training

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=sum(path.stat().st_size for path in inputs))
        messages: list[bytes] = []
        try:
            for path in inputs:
                with path.open("rb") as file:
                    for message in training.read_messages(file):
                        messages.append(message)
                        progress.advance(task, len(message) + 1)
            progress.update(task, description=f"training with {len(messages)} messages", total=None)
            samples, held_out = training.split(messages)
            dictionary = training.train(samples, size, level)
            progress.update(task, description="measuring")
            measured = training.measure(held_out, dictionary, level)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    output.write_bytes(dictionary.content)
    click.echo(f"{output}: {len(dictionary.content)} bytes, id {dictionary.id}")
    click.echo(f"measured with {measured.messages} messages that it was not trained with, each "
               "on its own:")  # fmt: skip
    for name, total in (
        ("as they are", measured.plain),
        ("permessage-deflate", measured.deflate),
        ("permessage-zstd", measured.zstd),
        ("with this dictionary", measured.with_dictionary),
    ):
        average = total / measured.messages
        share = total / measured.plain if measured.plain else 1.0
        click.echo(f"  {name:22} {average:8.1f} bytes  {share:6.1%}")
    click.echo(f"use it: app.install('permessage-zstd', dictionaries=['{output}'])")
