"""``wsext rooms``: which rooms a broker has, who is in them, what was said and what is said."""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import Any

import click
import msgspec
from rich.markup import escape as no_markup

from wsext.cli.broker import broker_options, find_backplane, listen, room_argument, run
from wsext.cli.common import json_option, show_message
from wsext.cli.results import as_json, new_table, output
from wsext.escape import escape
from wsext.rooms.heard import RoomMessage
from wsext.rooms.publisher import Publisher

__all__ = ["rooms"]


@click.group()
def rooms() -> None:
    """Look at the rooms of a broker: which there are, who is in them, what is said."""


@rooms.command("list")
@json_option
@click.option("--most", type=click.IntRange(min=1), default=1000, show_default=True,
              help="How many to list.")  # fmt: skip
@broker_options
def list_(
    as_json_: bool, most: int, backplane: str | None, config: str | None, timeout: float
) -> None:
    """List the rooms that have messages or members, by name."""

    async def ask() -> list[str]:
        async with Publisher(find_backplane(backplane, config), timeout=timeout) as publisher:
            return await publisher.rooms(most + 1)

    names = run(ask())
    shown = sorted(names[:most])
    if as_json_:
        _print_json(as_json(shown))
    else:
        for name in shown:
            click.echo(escape(name))
    if len(names) > most:
        click.echo(f"wsext: there are more than {most}; --most shows more", err=True)


@rooms.command()
@room_argument
@json_option
@broker_options
def members(
    room: str, as_json_: bool, backplane: str | None, config: str | None, timeout: float
) -> None:
    """Show who is in a room, in all processes."""

    async def ask() -> list[Any]:
        async with Publisher(find_backplane(backplane, config), timeout=timeout) as publisher:
            return await publisher.presence(room)

    found = run(ask())
    if as_json_:
        _print_json(as_json([msgspec.structs.asdict(member) for member in found]))
        return
    table = new_table("name", "info", "id")
    for member in found:
        info = "" if member.info is None else msgspec.json.encode(member.info).decode()
        table.add_row(*(no_markup(escape(text)) for text in (member.name, info, member.id)))
    output().print(table)


@rooms.command()
@room_argument
@click.option("-n", "--count", type=click.IntRange(min=0), default=10, show_default=True,
              help="How many of the last messages.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with what is said from now on.")
@json_option
@broker_options
def tail(
    room: str,
    count: int,
    follow: bool,
    as_json_: bool,
    backplane: str | None,
    config: str | None,
    timeout: float,
) -> None:
    """Show the last messages of a room; with -f also what is said from then on, until Ctrl-C.

    Messages go to a pipe as they are, and to a terminal with control characters escaped.
    """
    show = _show_json if as_json_ else _show_data

    async def read() -> None:
        async with Publisher(find_backplane(backplane, config), timeout=timeout) as publisher:
            for message in await publisher.history(room, count):
                show(message)

    async def read_on() -> None:
        await listen(find_backplane(backplane, config), room, count, show)

    run(read_on() if follow else read())


def _show_data(message: RoomMessage) -> None:
    show_message(message.data)


def _show_json(message: RoomMessage) -> None:
    """A line of JSON; ``base64`` stands for ``text`` if the message is binary."""
    data = message.data
    record: dict[str, Any] = (
        {"text": data} if isinstance(data, str) else {"base64": b64encode(data).decode()}
    )
    if message.position is not None:
        record["position"] = str(message.position)
    for name in ("id", "key", "hints", "meta"):
        if (value := getattr(message, name)) is not None:
            record[name] = value
    _print_json(msgspec.json.encode(record).decode())


def _print_json(text: str) -> None:
    click.echo(escape(text, keep="\n") if sys.stdout.isatty() else text)
