"""``wsext publish``: messages into a room, from the command line or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator

import click
import msgspec

from wsext.cli.broker import broker_options, find_backplane, room_argument, run
from wsext.cli.common import fail
from wsext.cli.input import piped_lines
from wsext.errors import PublishError
from wsext.escape import escape
from wsext.rooms.publisher import Publisher

__all__ = ["publish"]


@click.command()
@room_argument
@click.argument("data", nargs=-1)
@click.option("--lines", is_flag=True, help="Publish every line of stdin as a message.")
@click.option("--json", "is_json", is_flag=True, help="Refuse what is not JSON.")
@click.option("--binary", is_flag=True, help="Publish binary messages.")
@click.option("--id", help="Do not publish the message again if this id is remembered.")
@click.option("--name", default="publisher", show_default=True, help="Whose ids these are.")
@click.option("--key", help="Replaces what waits with this key, where rooms coalesce.")
@broker_options
def publish(
    room: str,
    data: tuple[str, ...],
    lines: bool,
    is_json: bool,
    binary: bool,
    id: str | None,
    name: str,
    key: str | None,
    backplane: str | None,
    config: str | None,
    timeout: float,
) -> None:
    """Publish messages to everybody in a room: each DATA, or stdin.

    Members of the room in every process of its broker get them. Each message's position in the room
    is printed. Exit codes: 0 if the broker has taken all, 1 if a message was not published, 2 if
    the command line was wrong, 3 if the broker did not answer, so that the message may have been
    published or not. Then --id publishes it again without doubling it.

    \b
    wsext publish news "tea is ready" --backplane redis://localhost
    wsext publish prices --lines --json < prices.jsonl
    """
    if data and lines:
        fail("--lines reads stdin: leave DATA out", 2)
    if id is not None and (lines or len(data) > 1):
        fail("--id is for one message: give one DATA, or stdin without --lines", 2)
    if lines:
        source: AsyncIterator[bytes] = piped_lines()
    else:
        source = _all_of([os.fsencode(text) for text in data] or [_stdin(binary)])

    async def speak() -> None:
        count = 0
        url = find_backplane(backplane, config)
        async with Publisher(url, timeout=timeout, name=name) as publisher:
            async for raw in source:
                count += 1
                message = _message(raw, count, is_json, binary)
                try:
                    position = await publisher.publish(room, message, id=id, key=key)
                except PublishError:
                    if count > 1:
                        click.echo(f"wsext: messages published before: {count - 1}", err=True)
                    raise
                if position is not None:
                    click.echo(escape(str(position)))

    run(speak())


def _stdin(binary: bool) -> bytes:
    """All of it; the end of a text's last line is the shell's."""
    data = sys.stdin.buffer.read()
    return data if binary else data.removesuffix(b"\n")


async def _all_of(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


def _message(raw: bytes, number: int, is_json: bool, binary: bool) -> str | bytes:
    if is_json:
        try:
            msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            fail(f"message {number} is not JSON: {error}", 2)
    if binary:
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        fail(f"message {number} is not UTF-8; --binary publishes it as it is", 2)
