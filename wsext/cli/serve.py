"""``wsext serve``: run an app, or the reference app."""

from __future__ import annotations

import importlib
import logging
import ssl as ssl_module
import sys
from pathlib import Path
from typing import Any

import click

from wsext import __version__
from wsext.app import App
from wsext.cli.common import (
    ExtensionArgument,
    ExtensionToken,
    OptionSetName,
    SettingName,
    fail,
    plugins_of,
    read_config,
)
from wsext.config import Config, ServeOptions, apply
from wsext.errors import OptionError, nearest
from wsext.sdk.options import option_fields
from wsext.server import Server, run_until_signal

__all__ = ["serve"]

_DEFAULTS = {field.name: field.default for field in option_fields(ServeOptions)}


@click.command()
@click.argument("app", required=False, metavar="[MODULE:APP]")
@click.option("--host", help=f"Address to listen on.  [default: {_DEFAULTS['host']}]")
@click.option("--port", help=f"TCP port; 0 takes a free one.  [default: {_DEFAULTS['port']}]")
@click.option("--uds", type=click.Path(), help="Listen on this Unix socket instead.")
@click.option(
    "--ext", "extensions", multiple=True, type=ExtensionArgument(),
    help="Turn on an extension or plugin, with options. Repeatable.",
)  # fmt: skip
@click.option(
    "--no-ext", "without", multiple=True, type=ExtensionToken(),
    help="Leave an installed wire extension out; 'all' leaves out all. Repeatable.",
)  # fmt: skip
@click.option(
    "--option-set", "option_sets", multiple=True, type=OptionSetName(),
    help="Apply a named option set. Repeatable.",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(dir_okay=False),
    help="Configuration file.  [default: wsext.toml, if there is one]",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, type=SettingName(),
    help="Set any option by its dotted name. Repeatable.",
)  # fmt: skip
@click.option(
    "--backplane", metavar="URL",
    help="Join the rooms of several processes: redis://… or nats://…",
)  # fmt: skip
@click.option("--ssl-cert", type=click.Path(), help="PEM file with the certificate chain.")
@click.option("--ssl-key", type=click.Path(), help="PEM file with the private key.")
@click.option(
    "--app-dir", default=".", show_default=True, type=click.Path(file_okay=False, exists=True),
    help="Folder to import the app from.",
)  # fmt: skip
@click.option(
    "--log-level", default="info", show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]), help="What is logged to stderr.",
)  # fmt: skip
@click.option("--access-log/--no-access-log", default=True, help="Log every request.")
def serve(
    app: str | None,
    extensions: tuple[str, ...],
    without: tuple[str, ...],
    option_sets: tuple[str, ...],
    config: str | None,
    settings: tuple[str, ...],
    app_dir: str,
    log_level: str,
    access_log: bool,
    backplane: str | None,
    **where: str | None,
) -> None:
    """Serve an app, or without one the reference app: an echo, a chat, and a page to see it on.

    Every installed wire extension is turned on unless it is left out.

    \b
    wsext serve
    wsext serve mychat:app --port 9000 --ext permessage-deflate:level=9,threshold=256
    wsext serve --option-set low-memory --set websocket.max_message_size=65536
    """
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s  %(message)s"
    )
    logging.getLogger("wsext.access").setLevel("INFO" if access_log else "WARNING")
    conf = read_config(config)
    for text in extensions:
        conf.set_extension_text(text)
    conf.option_sets.extend(option_sets)
    for text in settings:
        conf.set_dotted(text)
    if backplane is not None:
        conf.sections["server"]["backplane"] = backplane
    given = {**where, "app": app}
    conf.sections["serve"].update({k: v for k, v in given.items() if v is not None})
    where_to: ServeOptions = conf.section("serve")
    plugins = plugins_of(conf)
    asked = {text.partition(":")[0] for text in extensions}
    for token in without:
        for name in plugins.extensions() if token == "all" else [token]:
            if name not in asked:
                conf.set_extension(name, False)
    context = _tls(where_to)
    target = load_app(where_to.app, app_dir) if where_to.app else _reference()
    apply(conf, target, plugins)
    target.prepare()
    _run(target, where_to, context, conf)


def _reference() -> App:
    from wsext.reference import build_app

    return build_app()


def _tls(where: ServeOptions) -> ssl_module.SSLContext | None:
    if where.ssl_cert is None:
        if where.ssl_key is not None:
            raise OptionError("serve", "ssl_key", "needs ssl_cert, too")
        return None
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(where.ssl_cert, where.ssl_key)
    except ssl_module.SSLError as error:
        raise OptionError("serve", "ssl_cert", f"cannot be used: {error.reason or error}") from None
    except OSError as error:
        raise OptionError("serve", "ssl_cert", f"cannot be read: {error.strerror}") from None
    return context


def _run(
    app: App, where: ServeOptions, context: ssl_module.SSLContext | None, config: Config
) -> None:
    def started(server: Server) -> None:
        url = server.url if where.uds else server.url.replace("ws", "http", 1) + "/"
        names = [item.name for item in app.installed.items]
        click.echo(f"wsext {__version__} serves {where.app or 'the reference app'} on {url}")
        click.echo(f"extensions: {', '.join(names) or 'none'}")
        sys.stdout.flush()

    place = where.uds or f"{where.host}:{where.port}"
    try:
        run_until_signal(app, where.host, where.port, uds=where.uds, ssl=context, started=started)
    except OSError as error:
        fail(f"cannot listen on {place}: {error.strerror or error}")


def load_app(name: str, app_dir: str) -> App:
    """Import ``module:attribute``, an `App` or a function that makes one.

    Raises:
        OptionError: If there is none, with the nearest name.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not attribute:
        raise OptionError("serve", "app", f"expected module:name, got {name!r}")
    sys.path.insert(0, str(Path(app_dir).resolve()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the app needs: the traceback tells where
        raise OptionError("serve", "app", f"no module named {module_name!r} in {app_dir}") from None
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        apps = [key for key, item in vars(module).items() if isinstance(item, App)]
        raise OptionError(
            "serve", "app", f"{module_name} has no {attribute!r}", nearest(attribute, apps)
        )
    if not isinstance(value, App) and callable(value):
        value = value()
    if not isinstance(value, App):
        raise OptionError("serve", "app", f"{name} is a {type(value).__name__}, not an App")
    return value
