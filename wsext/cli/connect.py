"""``wsext connect``: talk to a WebSocket server from a terminal, or through pipes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import click

from wsext.cli.common import show_message
from wsext.cli.dialing import dial, dial_options, input_lines
from wsext.errors import ConnectionClosed, NotResumed
from wsext.escape import escape, safe_url
from wsext.runtime.session import Session
from wsext.sdk.hookspecs import hookimpl

__all__ = ["connect", "converse", "traffic"]


#: The extension that `--resume` asks for.
_RESUME = "session-resume"


@click.command()
@dial_options
@click.option(
    "--resume",
    is_flag=True,
    help=f"Go on after a lost connection ({_RESUME}); begin anew where that is refused.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but messages.")
def connect(url: str, **given: Any) -> None:
    """Connect to a WebSocket server. Every line sends a message; every message prints a line.

    Messages go to stdout: to a pipe as they are, to a terminal with control characters escaped.
    What was negotiated, whether the connection was lost, and how the session ended, goes to stderr.

    \b
    wsext connect ws://127.0.0.1:8765/echo
    echo hello | wsext connect ws://127.0.0.1:8765/echo
    """
    say: Callable[[str], None] = (lambda text: None) if given["quiet"] else _say

    async def talk(opening: Any, url: str) -> int:
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        show = partial(show_message, mark="< " if interactive else "")
        lost = 0
        async with AsyncExitStack() as stack:
            lines: AsyncIterator[bytes] | None = None
            while True:
                async with opening as session:
                    say(f"connected to {safe_url(url)}")
                    say(f"subprotocol: {session.subprotocol or 'none'}")
                    say(f"extensions: {session.negotiation.header or 'none'}")
                    if lines is None:  # a prompt stands below what was said
                        lines = await stack.enter_async_context(input_lines(interactive))
                    await converse(session, lines, given, interactive, show)
                info = session.close_info
                if not (given["resume"] and isinstance(info.exception, NotResumed)):
                    break
                lost += len(session.unconfirmed)
                say(f"begun anew: {info.exception}")
        say(f"closed: {info.code}{f' {info.reason}' if info.reason else ''}")
        if lost:
            say(f"not known to have arrived: {lost} message{'' if lost == 1 else 's'}")
        for line in traffic(session):
            say(line)
        return 0 if info.ok and not lost else 1

    if given["resume"]:
        given["extensions"] += (_RESUME,)
        given["require"] += (_RESUME,)
    raise SystemExit(dial(url, given, talk, _Watcher(say)))


class _Watcher:
    """Says what becomes of a connection."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    @hookimpl
    def wsext_session_detached(self, session: Session) -> None:
        self._say("connection lost; connecting again")

    @hookimpl
    def wsext_session_resumed(self, session: Session) -> None:
        self._say("resumed")


async def converse(
    session: Session,
    lines: AsyncIterator[bytes],
    given: dict[str, Any],
    interactive: bool,
    show: Callable[[str | bytes], None],
) -> None:
    """Send what is typed or piped and show what comes, until one side has enough."""
    receiver = asyncio.ensure_future(_receive(session, show, given["count"]))
    sender = asyncio.ensure_future(_send(session, lines, given["binary"]))
    await asyncio.wait({receiver, sender}, return_when=asyncio.FIRST_COMPLETED)
    if not receiver.done():
        await _linger(session, receiver, None if interactive else given["wait"])
    sender.cancel()
    await session.close()
    await receiver
    await asyncio.wait({sender})
    if not sender.cancelled() and (error := sender.exception()):
        raise error


def traffic(session: Session) -> tuple[str, str]:
    """What was sent and what was received in all, a line each."""
    stats = session.stats
    return (
        _sums("sent", stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out),
        _sums("received", stats.messages_in, stats.app_bytes_in, stats.wire_bytes_in),
    )


def _sums(what: str, messages: int, app: int, wire: int) -> str:
    text = f"{what}: {messages} message{'' if messages == 1 else 's'}, {app} bytes"
    if wire != app:
        text += f", {wire} on the wire ({wire / app:.0%})" if app else f", {wire} on the wire"
    return text


async def _send(session: Session, lines: Any, binary: bool) -> None:
    with suppress(ConnectionClosed):
        async for line in lines:
            await session.send(line if binary else line.decode("utf-8", "replace"))


async def _receive(
    session: Session, show: Callable[[str | bytes], None], count: int | None
) -> None:
    received = 0
    with suppress(ConnectionClosed):
        while count is None or received < count:
            show(await session.receive())
            received += 1


async def _linger(session: Session, receiver: asyncio.Future[None], wait: float | None) -> None:
    """After the end of the input: let answers come until it has been quiet for a while."""
    while wait is not None:
        before = session.stats.messages_in
        done, _ = await asyncio.wait({receiver}, timeout=wait)
        if done or session.stats.messages_in == before:
            return


def _say(text: str) -> None:
    click.echo(escape(text), err=True)
