"""``wsext serve``: run an app, or the reference app."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl as ssl_module
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import click

from wsext.app.application import Application
from wsext.app.settings import ServerOptions
from wsext.cli.asgi import serve_asgi
from wsext.cli.common import (
    ExtensionArgument,
    ExtensionToken,
    OptionSetName,
    fail,
    server_config_option,
    set_option,
    take_options,
)
from wsext.cli.loading import ASGIApplication, load_app
from wsext.cli.logs import announce, announce_service, choose_what_is_logged, set_up_logging
from wsext.cli.reloading import warn_of_changes
from wsext.cli.tls import server_context
from wsext.config.applying import apply, plugins_of, refuse_errors
from wsext.config.configuration import Config
from wsext.config.sections import ServeOptions
from wsext.config.sources import read_config
from wsext.errors import OptionError
from wsext.http2 import is_available
from wsext.inspector import PATH, Inspector
from wsext.reference import FEEDS, build_app
from wsext.runtime import net
from wsext.runtime.loop import new_event_loop
from wsext.sdk.options import option_fields
from wsext.sdk.secret import Secret
from wsext.server.collecting import frozen
from wsext.server.health import Health
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies
from wsext.server.running import run_until_signal
from wsext.server.server import Server
from wsext.server.supervisor import Supervisor
from wsext.server.worker import Ready, run_worker

__all__ = ["build", "serve"]

#: Connections to the admin port that may wait to be accepted.
_ADMIN_BACKLOG = 64

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
@server_config_option
@set_option
@click.option(
    "--backplane", metavar="URL",
    help="Join the rooms of several processes: redis://… or nats://…",
)  # fmt: skip
@click.option("--ssl-cert", type=click.Path(), help="PEM file with the certificate chain.")
@click.option("--ssl-key", type=click.Path(), help="PEM file with the private key.")
@click.option("--fd", help="Use this inherited listening socket, such as systemd's 3.")
@click.option("--workers", help="Serve in so many processes; SIGHUP renews them.")
@click.option("--reload", is_flag=True, default=None, help="Renew the workers when files change.")
@click.option("--worker", "channel", type=int, hidden=True)
@click.option(
    "--inspect", is_flag=True, default=None,
    help="Serve a page with sessions and frames, too; its address is printed.",
)  # fmt: skip
@click.option(
    "--http2/--no-http2", default=None,
    help="Speak HTTP/2, too.  [default: when the package h2 is installed]",
)  # fmt: skip
@click.option(
    "--app-dir", type=click.Path(file_okay=False, exists=True),
    help="Folder to import the app from.  [default: .]",
)  # fmt: skip
@click.option(
    "--admin-port", help="Serve health, and metrics and inspect if asked for, on this port alone."
)
@click.option("--admin-host", help=f"Its address.  [default: {_DEFAULTS['admin_host']}]")
@click.option("--health/--no-health", default=None, help="Serve /healthz and /readyz.")
@click.option("--metrics/--no-metrics", default=None, help="Serve /metrics, for Prometheus.")
@click.option("--log-level", help="What is logged to stderr.  [default: info]")
@click.option("--log-format", help="How all lines are written: text or json.  [default: text]")
@click.option("--access-log", help="How requests are logged: text, json or off.  [default: text]")
def serve(
    app: str | None,
    extensions: tuple[str, ...],
    without: tuple[str, ...],
    option_sets: tuple[str, ...],
    config: str | None,
    settings: tuple[str, ...],
    channel: int | None,
    http2: bool | None,
    backplane: str | None,
    **where: Any,
) -> None:
    """Serve an app, or without one the reference app: an echo, a chat, and a page to see it on. An
    ASGI app, such as one of FastAPI, is run by uvicorn, with the WebSockets of wsext.

    Every installed wire extension is turned on unless it is left out, or has to be configured.

    \b
    wsext serve
    wsext serve mychat:app --port 9000 --ext permessage-deflate:level=9,threshold=256
    wsext serve mychat:app --workers 4 --option-set low-memory
    """

    def read() -> Config:
        conf = read_config(config, raise_errors=False)
        take_options(conf, extensions=extensions, settings=settings)
        conf.add_option_sets(list(option_sets), "command line", "--option-set")
        server = {"http2": http2, "backplane": backplane}
        for section, values in (("server", server), ("serve", {**where, "app": app})):
            for name, value in values.items():
                if value is not None:
                    flag = "MODULE:APP" if name == "app" else f"--{name.replace('_', '-')}"
                    conf.set_section(section, {name: value}, "command line", flag)
        return conf

    conf = read()
    set_up_logging(conf.sections["serve"].get("log_format") == "json")
    with conf.noting():
        if http2 and not is_available():
            raise OptionError("server", "http2", "needs the package h2: pip install 'wsext[http2]'")
    refuse_wrong(conf)
    where_to: ServeOptions = conf.section("serve")
    choose_what_is_logged(where_to)
    with conf.naming_sources("serve"):
        context = server_context(where_to.ssl_cert, where_to.ssl_key)
        # A worker gets its connections through the channel.
        sock = None if where_to.fd is None or channel is not None else _inherited(where_to.fd)
    if where_to.supervised and channel is None:
        _supervise(where_to, conf, sock, partial(warn_of_changes, conf, read))
        return
    asked = {text.partition(":")[0] for text in extensions}
    target, inspector = build(conf, where_to, [name for name in without if name not in asked])
    if isinstance(target, ASGIApplication):
        try:
            serve_asgi(target, where_to, conf.sections["websocket"], sock)
        except OSError as error:
            _cannot_listen(where_to.uds or f"{where_to.host}:{where_to.port}", error)
    elif channel is not None:
        freezing = frozen(target.server_options.gc_freeze)
        with freezing, asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run_worker(target, channel, context))
    else:
        _run(target, where_to, context, inspector, sock)


def refuse_wrong(conf: Config) -> None:
    """Refuse a configuration with wrong values, and tell all of them.

    Raises:
        OptionError, UnknownPlugin: As `refuse_errors`.
    """
    with conf.noting(), conf.naming_sources("server"):
        options = conf.section("server")
        Hosts(options.allowed_hosts, Proxies(options.trusted_proxies))
    refuse_errors(conf, has_app=bool(conf.sections["serve"].get("app")))


def build(
    conf: Config, where: ServeOptions, without: Iterable[str] = ()
) -> tuple[Application, Inspector | None]:
    """The app as it is served, with the inspector if there is to be one; nothing is opened.

    Args:
        conf: What was set.
        where: Its section ``serve``.
        without: Names of ``--no-ext``.

    Raises:
        OptionError, PluginError: For what cannot be used.
        RouteError: For a route that cannot be served.
    """
    plugins = plugins_of(conf)
    for token in without:
        for name in plugins.extensions() if token == "all" else [token]:
            conf.set_extension(name, False, flag="--no-ext")
    with conf.naming_sources("serve"):
        target = load_app(where.app, where.app_dir) if where.app else build_app()
        if where.metrics:
            if "metrics" not in plugins:
                problem = "needs wsext-metrics: pip install 'wsext[metrics]'"
                raise OptionError("serve", "metrics", problem)
            conf.set_extension("metrics", True)
    apply(conf, target, plugins)
    if where.admin_port is not None:
        target.separate_admin()
    inspector = None
    if where.inspect:
        number = os.environ.get("WSEXT_WORKER", "") if where.supervised else ""
        inspector = target.install(_inspector(where, where.inspect_token, number))
    if where.health or where.admin_port is not None:
        target.install(Health())
    with conf.naming_sources("server.backplane"):
        _ = target.hub.backplane
    target.prepare()
    return target, inspector


def _inspector(where: ServeOptions, token: Secret | None, worker: str) -> Inspector:
    """The live page; of a worker, the one that has its number in the path."""
    return Inspector(
        token=token.reveal() if token else None,
        path=f"{PATH}/{worker}",
        payload=where.inspect_payload,
        hidden=() if where.app else (FEEDS,),
    )


def _run(
    app: Application,
    where: ServeOptions,
    context: ssl_module.SSLContext | None,
    inspector: Inspector | None,
    sock: socket.socket | None,
) -> None:
    def started(server: Server) -> None:
        names = [item.name for item in app.installed.items]
        announce_service(_name_of(where), server.url, names, _admin_url(admin))
        if inspector is not None:
            base = net.page_of(server.url)
            announce([f"inspect: {inspector.url(_admin_url(admin) or base)}"])

    admin = _bind_admin(where)
    try:
        run_until_signal(
            app, where.host, where.port, uds=where.uds, sock=sock, ssl=context,
            started=started, admin=admin,
        )  # fmt: skip
    except OSError as error:
        _cannot_listen(where.uds or f"{where.host}:{where.port}", error)


def _supervise(
    where: ServeOptions,
    config: Config,
    sock: socket.socket | None,
    reloading: Callable[[], None],
) -> None:
    """Run workers, each of which is this command again."""
    count = where.workers or 1
    options: ServerOptions = config.section("server")
    try:
        if sock is not None:
            sockets = [sock]
        else:
            sockets = net.bind(where.host, where.port, where.uds, options.backlog)
    except OSError as error:
        _cannot_listen(where.uds or f"{where.host}:{where.port}", error)
    admin = _bind_admin(where)

    def started(ready: Ready) -> None:
        url = net.url_of(sockets[0], where.ssl_cert is not None)
        name = f"{_name_of(where)} in {count} processes"
        announce_service(name, url, ready.extensions, _admin_url(admin))
        if where.inspect:
            pages = [_inspector(where, token, str(number)) for number in range(1, count + 1)]
            announce([f"inspect: {page.url(_admin_url(admin))}" for page in pages])

    token = where.inspect_token or Secret(secrets.token_urlsafe(24))
    given = click.get_current_context().find_root().obj
    # -P: nothing is imported from the current folder. faulthandler: a worker that hangs says where,
    # also while it starts.
    python = [sys.executable, "-P", "-X", "faulthandler"]
    command = [*python, "-m", "wsext", *given, "--worker"]
    changes = _changes(where.app_dir) if where.reload else None
    # Where workers put their metrics, so that they are added up.
    with TemporaryDirectory(prefix="wsext-metrics-") as folder:
        env = {"PROMETHEUS_MULTIPROC_DIR": folder, **os.environ}
        env["WSEXT_SERVE__INSPECT_TOKEN"] = token.reveal()  # all workers have the same
        supervisor = Supervisor(
            command, sockets, count, started=started, admin=admin, timeout=options.worker_timeout,
            changes=changes, env=env, reloading=reloading,
        )  # fmt: skip
        code = asyncio.run(supervisor.run())
    if where.uds is not None and where.fd is None:
        Path(where.uds).unlink(missing_ok=True)
    raise SystemExit(code)


def _inherited(number: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=number)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens:
        raise OptionError("serve", "fd", f"{number} is not an inherited listening socket")
    sock.setblocking(False)
    return sock


def _changes(folder: str) -> AsyncIterator[Any]:
    """The changes of an app's files, as they happen."""
    try:
        import watchfiles
    except ImportError:
        problem = "needs watchfiles: pip install 'wsext[reload]'"
        raise OptionError("serve", "reload", problem) from None
    kinds = watchfiles.PythonFilter(extra_extensions=(".toml", ".html"))
    changes: AsyncIterator[Any] = watchfiles.awatch(folder, watch_filter=kinds)
    return changes


def _name_of(where: ServeOptions) -> str:
    return where.app or "the reference app"


def _bind_admin(where: ServeOptions) -> list[socket.socket]:
    """The listening sockets of the admin port; none if there is to be no such port."""
    if where.admin_port is None:
        return []
    try:
        return net.bind(where.admin_host, where.admin_port, None, _ADMIN_BACKLOG)
    except OSError as error:
        _cannot_listen(f"{where.admin_host}:{where.admin_port}", error)


def _admin_url(admin: Sequence[socket.socket]) -> str:
    """The address of the admin port; empty if there is none."""
    return net.page_of(net.url_of(admin[0], False)) if admin else ""


def _cannot_listen(place: str, error: OSError) -> NoReturn:
    fail(f"cannot listen on {place}: {error.strerror or error}")
