"""``wsext connect``: talk to a WebSocket server from a terminal, or through pipes."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import click

from wsext.app import new_event_loop
from wsext.cli.common import ExtensionArgument, ExtensionToken, fail, plugins_of, read_config
from wsext.client import connect as open_session
from wsext.config import Config
from wsext.errors import ConnectionClosed, HandshakeError, OptionError
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed
from wsext.sdk.plugins import Plugins
from wsext.session import Session
from wsext.settings import WebSocketOptions

__all__ = ["connect"]


@click.command()
@click.argument("url")
@click.option(
    "--ext", "extensions", multiple=True, type=ExtensionArgument(),
    help="Offer an extension with these options, or turn a plugin on. Repeatable.",
)  # fmt: skip
@click.option(
    "--no-ext", "without", multiple=True, type=ExtensionToken(),
    help="Do not offer this installed extension; 'all' offers none. Repeatable.",
)  # fmt: skip
@click.option("--require", multiple=True, metavar="NAME", help="Fail without this extension.")
@click.option("--subprotocol", "subprotocols", multiple=True, help="Offer it. Repeatable.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send it.")
@click.option("--origin", help="The Origin header.")
@click.option("--binary", is_flag=True, help="Send every line as a binary message.")
@click.option("--count", type=click.IntRange(min=0), help="Leave after so many received messages.")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
    help="Seconds without a message after the end of the input, until it leaves.",
)  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True,
              help="Seconds for connecting.")  # fmt: skip
@click.option("--max-size", type=click.IntRange(min=1), default=1 << 26, show_default=True,
              help="Bytes of the largest message to receive.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Accept any TLS certificate.")
@click.option("--no-proxy", is_flag=True, help="Use no proxy, whatever the environment says.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but messages.")
@click.option("--config", type=click.Path(dir_okay=False), help="Configuration file.")
def connect(url: str, **given: Any) -> None:
    """Connect to a WebSocket server. Every line sends a message; every message prints a line.

    Messages go to stdout. What was negotiated, and how the session ended, goes to stderr.

    \b
    wsext connect ws://127.0.0.1:8765/echo
    echo hello | wsext connect ws://127.0.0.1:8765/echo
    """
    if "://" not in url and not url.startswith("ws+unix:"):
        url = f"ws://{url}"
    conf = read_config(given["config"])
    for text in given["extensions"]:
        conf.set_extension_text(text)
    installed = _install(conf, plugins_of(conf), given["without"])
    headers = []
    for header in given["headers"]:
        name, separator, value = header.partition(":")
        if not separator:
            fail(f"--header needs NAME:VALUE, got {header!r}", 2)
        headers.append((name.strip(), value.strip()))
    try:
        opening = open_session(
            url,
            extensions=installed,
            required=given["require"],
            subprotocols=given["subprotocols"],
            headers=headers,
            origin=given["origin"],
            options=WebSocketOptions(max_message_size=given["max_size"]),
            ssl=_trust_anyone() if given["insecure"] else None,
            proxy=None if given["no_proxy"] else True,
            open_timeout=given["timeout"],
        )
    except ValueError as error:
        fail(str(error), 2)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            code = runner.run(_talk(opening, url, given))
    except KeyboardInterrupt:
        code = 130
    except TimeoutError:
        fail(f"{url}: no answer within {given['timeout']:g} s")
    except ValueError as error:  # a header that cannot be sent
        fail(str(error), 2)
    except (OSError, HandshakeError) as error:
        fail(f"{url}: {getattr(error, 'strerror', None) or error}")
    raise SystemExit(code)


def _install(config: Config, plugins: Plugins, without: tuple[str, ...]) -> Installed:
    """Every installed wire extension, and what was asked for besides."""
    installed = Installed(plugins)
    for token, options in config.extensions.items():
        if options is not None and token not in without:
            installed.configure(token, options)
    for token, kind in plugins.extensions().items():
        left_out = token in config.extensions or token in without or "all" in without
        if issubclass(kind, Extension) and not left_out:
            with suppress(OptionError):  # it cannot be offered without options
                installed.install(kind)
    return installed


def _trust_anyone() -> ssl_module.SSLContext:
    context = ssl_module.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl_module.CERT_NONE
    return context


# --- the conversation -------------------------------------------------------------------------


async def _talk(opening: Any, url: str, given: dict[str, Any]) -> int:
    say: Callable[[str], None] = _silent if given["quiet"] else _say
    async with opening as session:
        say(f"connected to {url}")
        say(f"subprotocol: {session.subprotocol or 'none'}")
        say(f"extensions: {session.negotiation.header or 'none'}")
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        async with _lines(interactive) as lines:
            receiver = asyncio.ensure_future(_receive(session, interactive, given["count"]))
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
    info = session.close_info
    say(f"closed: {info.code}{f' {info.reason}' if info.reason else ''}")
    stats = session.stats
    say(_traffic("sent", stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out))
    say(_traffic("received", stats.messages_in, stats.app_bytes_in, stats.wire_bytes_in))
    return 0 if info.ok else 1


def _traffic(what: str, messages: int, app: int, wire: int) -> str:
    text = f"{what}: {messages} message{'' if messages == 1 else 's'}, {app} bytes"
    if wire != app:
        text += f", {wire} on the wire ({wire / app:.0%})" if app else f", {wire} on the wire"
    return text


async def _send(session: Session, lines: Any, binary: bool) -> None:
    with suppress(ConnectionClosed):
        async for line in lines:
            await session.send(line if binary else line.decode("utf-8", "replace"))


async def _receive(session: Session, interactive: bool, count: int | None) -> None:
    received = 0
    with suppress(ConnectionClosed):
        while count is None or received < count:
            _show(await session.receive(), interactive)
            received += 1


async def _linger(session: Session, receiver: asyncio.Future[None], wait: float | None) -> None:
    """After the end of the input: let answers come until it has been quiet for a while."""
    while wait is not None:
        before = session.stats.messages_in
        done, _ = await asyncio.wait({receiver}, timeout=wait)
        if done or session.stats.messages_in == before:
            return


def _show(message: str | bytes, interactive: bool) -> None:
    if interactive:
        text = message if isinstance(message, str) else f"{len(message)} bytes: {message.hex(' ')}"
        click.echo(f"< {_printable(text)}")
    elif isinstance(message, str):
        click.echo(message)
    else:
        sys.stdout.buffer.write(message + b"\n")
        sys.stdout.flush()


def _printable(text: str) -> str:
    """Text that cannot move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _say(text: str) -> None:
    click.echo(_printable(text), err=True)


def _silent(text: str) -> None:
    pass


# --- where lines come from --------------------------------------------------------------------


@asynccontextmanager
async def _lines(interactive: bool) -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines of a terminal, with editing and history, or of a pipe."""
    if not interactive:
        yield _piped_lines()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    prompt: PromptSession[str] = PromptSession()

    async def typed() -> AsyncIterator[bytes]:
        while True:
            try:
                line = await prompt.prompt_async("> ")
            except (EOFError, KeyboardInterrupt):
                return
            yield line.encode("utf-8", "replace")

    with patch_stdout():
        yield typed()


async def _piped_lines() -> AsyncIterator[bytes]:
    """Lines of stdin, read in a thread: a file or a pipe that waits must not stop the loop."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=256)

    def read() -> None:
        # Not sys.stdin: Python cannot close that at its exit while a thread still reads from it.
        with open(0, "rb", closefd=False) as stdin, suppress(RuntimeError):
            for line in stdin:  # RuntimeError: the loop has ended before the input
                asyncio.run_coroutine_threadsafe(queue.put(line.rstrip(b"\r\n")), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line
