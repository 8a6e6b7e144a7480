"""What the commands that connect to a server share: options, errors, lines from a terminal."""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import click

from wsext.cli.common import (
    ExtensionArgument,
    ExtensionToken,
    config_option,
    fail,
    take_options,
)
from wsext.client.connect import connect as open_session
from wsext.config.applying import install, plugins_of
from wsext.config.sources import read_config
from wsext.errors import HandshakeError
from wsext.escape import safe_url
from wsext.runtime.loop import new_event_loop
from wsext.runtime.settings import WebSocketOptions

__all__ = ["dial", "dial_options", "input_lines", "piped_lines"]

_OPTIONS = (
    click.argument("url"),
    click.option(
        "--ext", "extensions", multiple=True, type=ExtensionArgument(),
        help="Offer an extension with these options, or turn a plugin on. Repeatable.",
    ),
    click.option(
        "--no-ext", "without", multiple=True, type=ExtensionToken(),
        help="Do not offer this installed extension; 'all' offers none. Repeatable.",
    ),
    click.option("--require", multiple=True, metavar="NAME", help="Fail without this extension."),
    click.option("--subprotocol", "subprotocols", multiple=True, help="Offer it. Repeatable."),
    click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send it."),
    click.option("--origin", help="The Origin header."),
    click.option("--binary", is_flag=True, help="Send every line as a binary message."),
    click.option("--count", type=click.IntRange(min=0), help="Leave after so many messages."),
    click.option(
        "--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
        help="Seconds without a message after the end of the input, until it leaves.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True,
        help="Seconds for connecting.",
    ),
    click.option(
        "--max-size", type=click.IntRange(min=1), default=1 << 26, show_default=True,
        help="Bytes of the largest message to receive.",
    ),
    click.option("--http2", is_flag=True, help="Speak HTTP/2 (needs wsext[http2])."),
    click.option("--insecure", is_flag=True, help="Accept any TLS certificate."),
    click.option(
        "--no-proxy", is_flag=True, help="Use no proxy, whatever the environment says."
    ),
    config_option,
)  # fmt: skip


def dial_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the URL and every option of connecting."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def dial(
    url: str,
    given: dict[str, Any],
    talk: Callable[[Any, str], Coroutine[Any, Any, int]],
    watcher: object | None = None,
) -> int:
    """Connect as the options say and run ``talk(opening, url)``; its exit code.

    Every planned failure is one line on stderr.

    Args:
        url: Where to; the scheme may be left out.
        given: The command's options.
        talk: What is done with the opening.
        watcher: Its hooks are told of the session.
    """
    if "://" not in url and not url.startswith("ws+unix:"):
        url = f"ws://{url}"
    conf = read_config(given["config"], trust_folder=False, raise_errors=False)
    take_options(conf, extensions=given["extensions"])
    installed = install(conf, plugins_of(conf), without=given["without"])
    if watcher is not None:
        installed.install(watcher)
    headers = []
    for header in given["headers"]:
        name, separator, value = header.partition(":")
        if not separator:
            fail("--header needs NAME:VALUE, with a colon", 2)
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
            http2=given["http2"],
            open_timeout=given["timeout"],
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(talk(opening, url))
    except KeyboardInterrupt:
        return 130
    except TimeoutError:
        fail(f"{safe_url(url)}: no answer within {given['timeout']:g} s")
    except (OSError, HandshakeError) as error:
        number = getattr(error, "errno", None)
        fail(f"{safe_url(url)}: {os.strerror(number) if number and number > 0 else error}")
    except ValueError as error:  # a URL or a header that cannot be used
        fail(str(error), 2)


def _trust_anyone() -> ssl_module.SSLContext:
    context = ssl_module.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl_module.CERT_NONE
    return context


class _Lines:
    """Lines one after another. Who stops waiting for one loses none: the next one to ask gets it.

    Args:
        read: Waits for the next line; ``None`` when there are no more.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes | None]]) -> None:
        self._read = read

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        line = await self._read()
        if line is None:
            raise StopAsyncIteration
        return line


@asynccontextmanager
async def input_lines(interactive: bool) -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines of a terminal, with editing and history, or of a pipe."""
    if not interactive:
        yield piped_lines()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    prompt: PromptSession[str] = PromptSession()

    async def typed() -> bytes | None:
        try:
            return (await prompt.prompt_async("> ")).encode("utf-8", "replace")
        except (EOFError, KeyboardInterrupt):
            return None

    with patch_stdout(raw=True):
        yield _Lines(typed)


def piped_lines() -> AsyncIterator[bytes]:
    """Lines of stdin; nothing is read before somebody wants one."""
    queue: asyncio.Queue[bytes | None] | None = None

    async def read() -> bytes | None:
        nonlocal queue
        queue = queue or _read_pipe()
        return await queue.get()

    return _Lines(read)


def _read_pipe() -> asyncio.Queue[bytes | None]:
    """Read stdin in a thread: a file or a pipe that waits must not stop the loop."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=256)

    def read() -> None:
        # Not sys.stdin: Python cannot close that at its exit while a thread still reads from it.
        with open(0, "rb", closefd=False) as stdin, suppress(RuntimeError):
            for line in stdin:  # RuntimeError: the loop has ended before the input
                asyncio.run_coroutine_threadsafe(queue.put(line.rstrip(b"\r\n")), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, daemon=True).start()
    return queue
