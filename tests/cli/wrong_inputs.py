"""Wrong inputs, and what the message of each has to name. Prints all messages if it is run:

    python -m tests.cli.wrong_inputs

A case that begins with a variable or with ``wsext`` is a command; what is between ``[`` and ``]``
is the ``wsext.toml`` of the folder. Anything else is Python.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import trustme

import wsext
from wsext.cli import main
from wsext.sdk.plugins import default_plugins, set_default_plugins

__all__ = ["WRONG", "Wrong", "folder", "told"]


@dataclass(frozen=True)
class Wrong:
    """A wrong input.

    Attributes:
        given: What somebody writes.
        words: What the message has to say: source, field, choices or range, and the nearest name.
        file: The folder's ``wsext.toml``.
    """

    given: str
    words: tuple[str, ...]
    file: str = ""


SET, MEANT = "(source: command line, --set)", "did you mean "

WRONG = (
    # --- the command line
    Wrong(
        "wsext serve --access-log jsn", ("access_log", "'text', 'json', 'off'", "'json'?", "log)")
    ),
    Wrong("wsext serve --port 99999", ("serve: port", "0 to 65535", "'99999'", "line, --port)")),
    Wrong("wsext serve --log-level warn", ("log_level", "'debug', 'info'", "'warning'?", "level)")),
    Wrong("wsext serve --set websokets.backlog=5", ("websokets", "serve, server", MEANT, SET)),
    Wrong("wsext serve --set server.baklog=5", ("baklog", "known: handshake_", "'backlog'?", SET)),
    Wrong("wsext serve --set server.backlog", ("server.backlog", "section.option=value", SET)),
    Wrong(
        "wsext serve --set server.backlog=0", ("server: backlog", "whole number, >= 1", "'0'", SET)
    ),
    Wrong(
        "wsext serve --set rooms.overflow=colesce",
        ("rooms: overflow", "'close', 'drop-oldest', 'coalesce'", "'coalesce'?", SET),
    ),
    Wrong(
        "wsext serve --set websocket.origins=https://chat.example/",
        ("origins", "scheme://host:port", "'https://chat.example'?", SET),
    ),
    Wrong("wsext serve --set websocket.origins=", ("origins: is empty", "* for all", SET)),
    Wrong(
        "wsext serve --set server.trusted_proxies=lo", ("trusted_proxies", "'lo'", "'unix'", SET)
    ),
    Wrong(
        "wsext serve --ext permesage-deflate",
        ("'permesage-deflate'", "known: capture", "'permessage-deflate'?", "line, --ext)"),
    ),
    Wrong(
        "wsext serve --ext permessage-deflate:levl=9",
        ("permessage-deflate: levl", "known: backend, level", "'level'?", "line, --ext)"),
    ),
    Wrong("wsext serve --ext permessage-deflate:level=12", ("level", "0 to 9", "'12'", "--ext)")),
    Wrong("wsext serve --ext permessage-deflate:level", ("level", "got true; write level=VALUE")),
    Wrong(
        "wsext serve --no-ext permesage-deflate",
        ("'permesage-deflate'", "known: capture", "'permessage-deflate'?", "line, --no-ext)"),
    ),
    Wrong(
        "wsext serve --option-set low-mem", ("'low-mem'", "market-data", "'low-memory'?", "-set)")
    ),
    Wrong("wsext serve --backplane reds://b", ("backplane", "nats, redis", "'redis'?", "plane)")),
    Wrong("wsext serve --config wsxt.toml", ("wsxt.toml: No such file", "'wsext.toml'?")),
    Wrong("wsext serve --ssl-cert none.pem", ("ssl_cert", "none.pem: No such file", "--ssl-cert)")),
    Wrong("wsext serve --ssl-cert one.pem", ("ssl_cert", "one.pem has no private key", "ssl_key")),
    Wrong(
        "wsext serve --ssl-cert one.pem --ssl-key two.key",
        ("ssl_key", "in two.key is not that of the certificate in one.pem", "--ssl-key)"),
    ),
    Wrong("wsext serve --fd 999", ("serve: fd", "999 is not an inherited", "line, --fd)")),
    Wrong("wsext serve chat", ("serve: app", "module:name", "'chat:app'?", "MODULE:APP)")),
    Wrong("wsext serve chta:app", ("no module named 'chta'", "there: chat", "'chat'?")),
    Wrong("wsext serve chat:ap", ("chat has no 'ap'", "its apps: app", "'app'?")),
    Wrong("wsext serv", ("No such command 'serv'", "Did you mean 'serve'?")),
    Wrong("wsext serve --prot 80", ("No such option '--prot'", "'--port'")),
    Wrong("wsext ext new x --kind mesage", ("--kind", "'message', 'frame'", "'message'?")),
    Wrong("wsext ext show permesage-zstd", ("'permesage-zstd'", "known: ", "'permessage-zstd'?")),
    Wrong("wsext connect http://chat.example", ("not a URL", "use ws://host:port/path or wss://")),
    Wrong("wsext connect -H nonsense ws://chat.example", ("--header: needs NAME:VALUE", "colon")),
    Wrong("wsext connect --no-ext zstd ws://a", ("'zstd'", "known: ", MEANT, "line, --no-ext)")),
    # --- the environment
    Wrong("WSEXT_SERVE__PROT=80 wsext serve", ("WSEXT_SERVE__PROT", "'WSEXT_SERVE__PORT'?")),
    Wrong("WSEXT_SERVE__PORT=web wsext serve", ("serve: port", "0 to 65535", "WSEXT_SERVE__PORT)")),
    Wrong(
        "WSEXT_PLUGINS=-framlog wsext serve",
        ("WSEXT_PLUGINS", "'framlog'", "known: capture", "'framelog'?"),
    ),
    # --- the file
    Wrong(
        "wsext serve",
        ("servr", "known: serve, server", "'server'?", "(source: wsext.toml, line 2)"),
        "\n[servr]\nport = 80\n",
    ),
    Wrong(
        "wsext serve",
        ("serve: acess_log", "known: app", "'access_log'?", "(source: wsext.toml, line 3)"),
        '[serve]\nport = 80\nacess_log = "json"\n',
    ),
    Wrong(
        "wsext serve",
        ("extensions.framelog: expected a table", "(source: wsext.toml, line 2)"),
        "[extensions]\nframelog = 3\n",
    ),
    Wrong(
        "wsext serve",
        ("'permessage-zsdt'", "known: ", "'permessage-zstd'?", "(source: wsext.toml, line 2)"),
        "[extensions]\npermessage-zsdt = false\n",
    ),
    Wrong(
        "wsext serve",
        ("plugins: deny", "'framlog'", "known: ", "'framelog'?", "(source: wsext.toml, line 2)"),
        '[plugins]\ndeny = [\n  "framlog",\n]\n',
    ),
    Wrong("wsext serve", ("wsext.toml: not TOML", "line 2"), "[serve]\nport = web\n"),
    # --- Python
    Wrong("WebSocketOptions(ping_intervall=3)", ("websocket: ping_intervall", "known: ", "val'?")),
    Wrong("WebSocketOptions(origins='*')", ("websocket: origins", "a list", "write ['*']")),
    Wrong("App().install('permessage-deflate', levl=1)", ("deflate: levl", "known: ", "'level'?")),
    Wrong("Frame(Opcode.TEXT, 'Hi')", ("payload is bytes-like, not str", "text.encode()")),
    Wrong("Server(App())", ("Server(app) needs a running event loop", "asyncio.run()")),
)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """A folder to work in: with an app, two certificates and their keys."""
    (path / "chat.py").write_text("from wsext import App\napp = App()\n")
    for name in ("one", "two"):
        made = trustme.CA().issue_cert(f"{name}.example")
        made.cert_chain_pems[0].write_to_path(path / f"{name}.pem")
        made.private_key_pem.write_to_path(path / f"{name}.key")
    with contextlib.chdir(path):
        yield


def told(wrong: Wrong) -> tuple[int, str]:
    """The exit code, and what was said; of Python 2, as for every wrong input."""
    Path("wsext.toml").write_text(wrong.file)
    if not wrong.given.startswith(("wsext ", "WSEXT_")):
        try:
            eval(wrong.given, vars(wsext) | {name: getattr(wsext, name) for name in wsext.__all__})
        except Exception as error:
            return 2, f"{type(error).__name__}: {error}\n"
        return 0, ""
    words = shlex.split(wrong.given)
    begin = words.index("wsext")
    variables = dict(word.split("=", 1) for word in words[:begin])
    return _run(words[begin + 1 :], variables)


@contextlib.contextmanager
def _logging_as_before() -> Iterator[None]:
    """Take back what a command does to logging: it has the process for itself otherwise."""
    loggers = [logging.getLogger(name) for name in ("", "wsext.access", "wsext.client")]
    before = [(each.level, each.propagate, each.handlers[:]) for each in loggers]
    try:
        yield
    finally:
        for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate, logger.handlers = propagate, handlers


def _run(args: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
    said, before = io.StringIO(), default_plugins()
    environment = mock.patch.dict(os.environ, variables)
    try:
        with environment, contextlib.redirect_stderr(said), _logging_as_before():
            main(args)
    except SystemExit as ended:
        return int(ended.code or 0), said.getvalue()
    finally:
        set_default_plugins(before)
    return 0, said.getvalue()


def _print_all() -> None:
    with tempfile.TemporaryDirectory() as path, folder(Path(path)):
        for number, wrong in enumerate(WRONG, 1):
            code, text = told(wrong)
            file = f"   # with wsext.toml: {wrong.file!r}" if wrong.file else ""
            print(f"{number}. $ {wrong.given}{file}\n{text.rstrip()}\n(exit code {code})\n")  # noqa: T201


if __name__ == "__main__":
    _print_all()
