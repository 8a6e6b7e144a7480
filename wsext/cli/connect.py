"""``wsext connect``: talk to a WebSocket server from a terminal, or through pipes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from enum import Enum
from functools import partial
from typing import Any

import click

from wsext.cli.common import fail, show_message
from wsext.cli.dialing import Exit, dial, dial_options
from wsext.cli.forms import Form, Unreadable, read_message, show_jsonl
from wsext.cli.input import Lines, input_lines
from wsext.errors import CloseInfo, ConnectionClosed, NotResumed
from wsext.escape import escape, get_logger, safe_url
from wsext.runtime.session import Session
from wsext.sdk.hookspecs import hookimpl

__all__ = ["Ended", "connect", "converse", "form_of", "traffic"]


#: The extension that `--resume` asks for.
_RESUME = "session-resume"


class Ended(Enum):
    """Who had enough of a conversation."""

    HERE = "the input has ended, or enough has come"
    THERE = "the session has ended"
    INTERRUPTED = "somebody has pressed Ctrl-C"


@click.command()
@dial_options
@click.option(
    "--jsonl",
    is_flag=True,
    help='Read and print lines of JSON: {"text": "..."}, or {"base64": "..."} for bytes.',
)
@click.option("--one-message", is_flag=True, help="Send all of stdin as one message.")
@click.option(
    "--ping",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Send a ping every so many seconds, and say how long its answer took.",
)
@click.option("--reconnect", is_flag=True, help="Connect again when the connection is lost.")
@click.option(
    "--resume",
    is_flag=True,
    help=f"Go on after a lost connection ({_RESUME}); begin anew where that is refused.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but messages.")  # fmt: skip
def connect(url: str, **given: Any) -> None:
    """Connect to a WebSocket server. Every line sends a message; every message prints a line.

    A line that is UTF-8 is sent as text, any other as it is, as a binary message. Messages go to
    stdout: to a pipe as they are, to a terminal with control characters escaped. What was
    negotiated, whether the connection was lost, and how the session ended, goes to stderr. In a
    terminal, the line /ping sends a ping. Ctrl-C closes the session; a second one does not wait.

    \b
    wsext connect ws://127.0.0.1:8765/echo
    echo hello | wsext connect ws://127.0.0.1:8765/echo
    wsext connect --one-message wss://example.org/upload < picture.png

    \b
    Exit codes:
      0    the session was closed as planned: with 1000, 1001 or no code
      1    no connection: the server cannot be reached, is not trusted, or does not answer
      2    the command line, a file that it names, or a line of the input is wrong
      3    it is not known whether all messages have arrived (--resume)
      4    no session: the server has refused the handshake, or its answer is wrong
      5    the session was lost, or closed with another code
      130  Ctrl-C
    """
    form = form_of(given)
    say: Callable[[str], None] = (lambda text: None) if given["quiet"] else _say

    async def talk(opening: Any, url: str) -> int:
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        mark = "< " if interactive else ""
        show = show_jsonl if form == "jsonl" else partial(show_message, mark=mark)
        lost = 0
        async with AsyncExitStack() as stack:
            sessions = _reopening(opening) if given["reconnect"] else _opening(opening)
            lines: Lines | None = None
            async for session in await stack.enter_async_context(sessions):
                say(f"connected to {safe_url(url)}")
                say(f"subprotocol: {session.subprotocol or 'none'}")
                say(f"extensions: {session.negotiation.header or 'none'}")
                if lines is None:  # a prompt stands below what was said
                    whole = given["one_message"]
                    lines = await stack.enter_async_context(input_lines(interactive, whole=whole))
                ended = await converse(session, lines, form, given, interactive, show, say)
                info = session.close_info
                is_lost = given["resume"] and isinstance(info.exception, NotResumed)
                if is_lost:
                    lost += len(session.unconfirmed)
                if is_lost and ended is not Ended.INTERRUPTED:
                    say(f"begun anew: {info.exception}")
                elif given["reconnect"] and ended is Ended.THERE and not _is_planned(info):
                    say(f"connection lost ({info}); connecting again")
                else:
                    break
        say(f"closed: {info.code}{f' {info.reason}' if info.reason else ''}")
        if lost:
            say(f"not known to have arrived: {lost} message{'' if lost == 1 else 's'}")
        for line in traffic(session):
            say(line)
        if ended is Ended.INTERRUPTED:
            return Exit.INTERRUPTED
        if lost:
            return Exit.UNKNOWN
        return Exit.PLANNED if info.ok else Exit.ENDED

    if given["resume"]:
        given["extensions"] += (_RESUME,)
        given["require"] += (_RESUME,)
    if given["reconnect"]:
        _say_what_the_client_logs(say)
    raise SystemExit(dial(url, given, talk, _Watcher(say)))


def form_of(given: dict[str, Any]) -> Form:
    """How the options say that lines are read."""
    forms: tuple[Form, ...] = ("text", "binary", "jsonl")
    chosen = [form for form in forms if given.get(form)]
    if len(chosen) > 1:
        fail(f"--{chosen[0]} and --{chosen[1]} exclude each other", Exit.USAGE)
    return chosen[0] if chosen else "auto"


# --- sessions, one after the other ------------------------------------------------------------


@asynccontextmanager
async def _opening(opening: Any) -> AsyncIterator[AsyncIterator[Session]]:
    """A session, and another one for who goes on."""

    async def each() -> AsyncIterator[Session]:
        while True:
            async with opening as session:
                yield session

    async with aclosing(each()) as sessions:  # type: ignore[type-var]
        yield sessions


@asynccontextmanager
async def _reopening(opening: Any) -> AsyncIterator[AsyncIterator[Session]]:
    """The same, after the waits of a client that connects again, also where it cannot connect."""
    async with aclosing(aiter(opening)) as sessions:
        yield sessions


def _is_planned(info: CloseInfo) -> bool:
    """Whether the server wants no more of us."""
    return info.clean and info.code in (1000, 1005)


def _say_what_the_client_logs(say: Callable[[str], None]) -> None:
    """Let it say why connecting has failed, and when it tries again."""

    class OnTerminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    logger = get_logger("wsext.client")
    logger.setLevel(logging.INFO)
    logger.addHandler(OnTerminal())
    logger.propagate = False


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


# --- one conversation -------------------------------------------------------------------------


async def converse(
    session: Session,
    lines: Lines,
    form: Form,
    given: dict[str, Any],
    interactive: bool,
    show: Callable[[str | bytes], None],
    say: Callable[[str], None],
) -> Ended:
    """Send what is typed or piped and show what comes, until one side has enough.

    Args:
        session: The session; it is closed afterwards.
        lines: What is sent.
        form: How lines are read.
        given: The command's options.
        interactive: Whether somebody types.
        show: Prints a message.
        say: Prints anything else.
    """
    receiver = asyncio.ensure_future(_receive(session, show, given["count"]))
    sender = asyncio.ensure_future(_send(session, lines, form, interactive, say))
    pinger = asyncio.ensure_future(_ping(session, given.get("ping"), say))
    with _interrupts(session) as interrupted:
        ends: set[asyncio.Future[Any]] = {receiver, interrupted}
        await asyncio.wait({*ends, sender}, return_when=asyncio.FIRST_COMPLETED)
        if sender.done() and not sender.exception():
            wait = None if interactive else given["wait"]
            await _linger(session, ends, wait)
        is_over = receiver.done() and receiver.exception() is None and not receiver.result()
        for task in (sender, pinger):
            task.cancel()
        await session.close()
        await receiver
        await asyncio.wait({sender, pinger})
    if not sender.cancelled() and (error := sender.exception()):
        if isinstance(error, Unreadable):
            fail(str(error), Exit.USAGE)
        raise error
    if interrupted.done():
        return Ended.INTERRUPTED
    return Ended.THERE if is_over else Ended.HERE


@contextmanager
def _interrupts(session: Session) -> Iterator[asyncio.Future[None]]:
    """A future that is done when Ctrl-C is pressed; pressed again, it aborts the session."""
    loop = asyncio.get_running_loop()
    interrupted: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if interrupted.done():
            session.abort()
        else:
            interrupted.set_result(None)

    with suppress(NotImplementedError):  # Windows has no loop signal handlers
        loop.add_signal_handler(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


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


async def _send(
    session: Session, lines: Lines, form: Form, interactive: bool, say: Callable[[str], None]
) -> None:
    """Send every line; what could not be sent is put back for another session."""
    pings: list[asyncio.Task[None]] = []
    try:
        async for line in lines:
            if interactive and line.split(b" ")[0] == b"/ping":
                payload = line.removeprefix(b"/ping").strip()[:125] or None
                pings.append(asyncio.create_task(_time_ping(session, payload, say)))
                continue
            try:
                await session.send(read_message(line, lines.number, form))
            except ConnectionClosed:
                lines.put_back(line)
                return
    finally:
        for task in pings:
            task.cancel()


async def _ping(session: Session, seconds: float | None, say: Callable[[str], None]) -> None:
    while seconds is not None and session.is_open:
        await asyncio.sleep(seconds)
        await _time_ping(session, None, say)


async def _time_ping(session: Session, payload: bytes | None, say: Callable[[str], None]) -> None:
    try:
        say(f"ping: {await session.ping(payload) * 1000:.2f} ms")
    except ValueError as error:  # one with this payload is under way
        say(f"ping: {error}")
    except ConnectionClosed:
        pass


async def _receive(
    session: Session, show: Callable[[str | bytes], None], count: int | None
) -> bool:
    """Show what comes; whether enough has come, and not the session's end."""
    received = 0
    try:
        while count is None or received < count:
            show(await session.receive())
            received += 1
    except ConnectionClosed:
        return False
    return True


async def _linger(session: Session, ends: set[asyncio.Future[Any]], wait: float | None) -> None:
    """After the end of the input: let answers come until it has been quiet for a while."""
    while wait is not None:
        before = session.stats.messages_in
        done, _ = await asyncio.wait(ends, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if done or session.stats.messages_in == before:
            return


def _say(text: str) -> None:
    click.echo(escape(text), err=True)
