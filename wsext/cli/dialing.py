"""What the commands that connect to a server share: options, errors, exit codes."""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Iterator
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import click

from wsext.cli.common import (
    ExtensionArgument,
    ExtensionToken,
    config_option,
    fail,
    take_options,
)
from wsext.cli.tls import client_context
from wsext.client.connect import connect as open_session
from wsext.config.applying import install, plugins_of
from wsext.config.sources import read_config
from wsext.errors import HandshakeError, OptionError, UnknownPlugin
from wsext.escape import safe_url
from wsext.runtime.loop import new_event_loop
from wsext.runtime.settings import WebSocketOptions

__all__ = [
    "FAILURES",
    "Exit",
    "connect_options",
    "dial",
    "dial_options",
    "explain",
    "opener",
    "with_scheme",
]

#: Why there may be no session.
FAILURES = (OSError, HandshakeError, ValueError)


class Exit(IntEnum):
    """How a command that connects ends."""

    PLANNED = 0  # the session was closed as planned
    UNREACHABLE = 1  # there is no connection
    USAGE = 2
    UNKNOWN = 3  # whether all messages have arrived
    REFUSED = 4  # there is a connection and no session
    ENDED = 5  # the session was lost, or closed with another code
    INTERRUPTED = 130  # as of every program that Ctrl-C ends


_CONNECTING = (
    click.option(
        "--ext", "extensions", multiple=True, type=ExtensionArgument(),
        help="Offer an extension with these options, or turn a plugin on. Repeatable.",
    ),
    click.option(
        "--no-ext", "without", multiple=True, type=ExtensionToken(),
        help="Do not offer this installed extension; 'all' offers none. Repeatable.",
    ),
    click.option("--require", multiple=True, metavar="NAME", help="Fail without this extension."),
    click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send it."),
    click.option(
        "--header-file", type=click.Path(), help="Send the headers of this file, a line each."
    ),
    click.option("--origin", help="The Origin header."),
    click.option(
        "--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True,
        help="Seconds for connecting.",
    ),
    click.option(
        "--max-size", type=click.IntRange(min=1), default=1 << 26, show_default=True,
        help="Bytes of the largest message to receive.",
    ),
    click.option("--http2", is_flag=True, help="Speak HTTP/2 (needs wsext[http2])."),
    click.option(
        "--cacert", type=click.Path(),
        help="PEM file with the certificates to trust, instead of the system's.",
    ),
    click.option("--cert", type=click.Path(), help="PEM file with a certificate of our own."),
    click.option("--key", type=click.Path(), help="PEM file with its private key."),
    click.option("--insecure", is_flag=True, help="Accept any TLS certificate."),
    click.option(
        "--no-proxy", is_flag=True, help="Use no proxy, whatever the environment says."
    ),
    config_option,
)  # fmt: skip

_TALKING = (
    click.argument("url"),
    click.option("--subprotocol", "subprotocols", multiple=True, help="Offer it. Repeatable."),
    click.option("--binary", is_flag=True, help="Send every line as a binary message."),
    click.option("--text", is_flag=True, help="Send every line as text; refuse what is not UTF-8."),
    click.option("--count", type=click.IntRange(min=0), help="Leave after so many messages."),
    click.option(
        "--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
        help="Seconds without a message after the end of the input, until it leaves.",
    ),
)  # fmt: skip


def connect_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every option of connecting."""
    for option in reversed(_CONNECTING):
        command = option(command)
    return command


def dial_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the URL, and every option of connecting and of talking line by line."""
    command = connect_options(command)
    for option in reversed(_TALKING):
        command = option(command)
    return command


def dial(
    url: str,
    given: dict[str, Any],
    talk: Callable[[Any, str], Coroutine[Any, Any, int]],
    watcher: object | None = None,
) -> int:
    """Connect as the options say and run ``talk(opening, url)``; its exit code, one of `Exit`.

    Every planned failure is one line on stderr, without what a URL or a header keeps secret.

    Args:
        url: Where to; the scheme may be left out.
        given: The command's options.
        talk: What is done with the opening.
        watcher: Its hooks are told of the session.
    """
    url = with_scheme(url)
    open_one = opener(given, watcher)
    try:
        opening = open_one(url, subprotocols=given["subprotocols"])
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(talk(opening, url))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except FAILURES as error:
        fail(*explain(error, url, given["timeout"]))


def with_scheme(url: str) -> str:
    """A URL whose scheme may be left out: ``ws`` then."""
    return url if "://" in url or url.startswith("ws+unix:") else f"ws://{url}"


def opener(given: dict[str, Any], watcher: object | None = None) -> Callable[..., open_session]:
    """What opens a session as the options say: it takes a URL, and what `connect` takes beside.

    Args:
        given: The options of `connect_options`.
        watcher: Its hooks are told of each session.

    Raises:
        OptionError, PluginError, UnknownPlugin: If an option cannot be used.
    """
    conf = read_config(given["config"], trust_folder=False, raise_errors=False)
    take_options(conf, extensions=given["extensions"])
    installed = install(conf, plugins_of(conf), without=given["without"])
    if watcher is not None:
        installed.install(watcher)
    offered = [item.name for item in installed.extensions]
    for name in given["require"]:
        if name not in offered:
            unknown = UnknownPlugin(name, "extension is offered here", offered)
            unknown.source = "command line, --require"
            raise unknown
    return partial(
        open_session,
        extensions=installed,
        required=given["require"],
        headers=[*_headers(given)],
        origin=given["origin"],
        options=WebSocketOptions(max_message_size=given["max_size"]),
        ssl=client_context(
            cacert=given["cacert"],
            cert=given["cert"],
            key=given["key"],
            check=not given["insecure"],
        ),
        proxy=None if given["no_proxy"] else True,
        http2=given["http2"],
        open_timeout=given["timeout"],
    )


def explain(error: Exception, url: str, seconds: float) -> tuple[str, Exit]:
    """Why there is no session, in a line without secrets, and the exit code of that.

    Args:
        error: One of `FAILURES`.
        url: Where it was to be opened.
        seconds: How long connecting might have taken.
    """
    where = safe_url(url)
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {seconds:g} s", Exit.UNREACHABLE
    if isinstance(error, ssl_module.SSLCertVerificationError):
        why = error.verify_message or "its certificate cannot be checked"
        hint = "--cacert FILE says whom to trust, --insecure trusts anybody"
        return f"{where}: the server is not trusted: {why}; {hint}", Exit.UNREACHABLE
    if isinstance(error, ssl_module.SSLError):
        return f"{where}: {error}", Exit.UNREACHABLE
    if isinstance(error, OSError):
        number = error.errno or 0
        said = os.strerror(number) if number > 0 else error
        return f"{where}: {said}", Exit.UNREACHABLE
    if isinstance(error, HandshakeError):
        return f"{where}: {error}", Exit.REFUSED
    return str(error), Exit.USAGE  # a URL or a header that cannot be used


def _headers(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The headers of ``--header`` and ``--header-file``; errors never show what may be secret.

    Raises:
        OptionError: If the file cannot be read, or a line has another form.
    """
    for header in given["headers"]:
        yield _header(header, "--header", "")
    if given["header_file"] is None:
        return
    path = given["header_file"]
    try:
        lines = Path(path).read_text(encoding="latin-1").splitlines()
    except OSError as error:
        problem = f"cannot be read: {path}: {error.strerror}"
        raise OptionError("connect", "--header-file", problem) from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield _header(line, "--header-file", f" in {path}, line {number}")


def _header(text: str, option: str, place: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator:
        raise OptionError("connect", option, f"needs NAME:VALUE, with a colon{place}")
    return name.strip(), value.strip()
