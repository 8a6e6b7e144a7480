"""Which sections a configuration has, and which options each of them."""

from __future__ import annotations

import signal
from typing import Annotated, ClassVar, Literal

from wsext.app.settings import ServerOptions
from wsext.errors import OptionError, nearest
from wsext.rooms.settings import RoomOptions
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.options import OptionSet, local, option_fields
from wsext.sdk.secret import Secret

__all__ = ["SECTIONS", "TOP", "PluginOptions", "ServeOptions", "dotted_names", "unknown_section"]


class ServeOptions(OptionSet):
    """Where and what ``wsext serve`` serves."""

    __owner__: ClassVar[str] = "serve"

    app: Annotated[str, local("module:name of an App; none serves the reference app")] | None = None
    app_dir: Annotated[str, local("folder to import the app from")] = "."
    host: Annotated[str, local("address to listen on")] = "127.0.0.1"
    port: Annotated[int, local("TCP port; 0 takes a free one", ge=0, le=65535)] = 8765
    uds: Annotated[str, local("path of a Unix socket to listen on instead")] | None = None
    ssl_cert: Annotated[str, local("PEM file with the certificate chain")] | None = None
    ssl_key: Annotated[str, local("PEM file with the private key")] | None = None
    inspect: Annotated[bool, local("a page with sessions and frames, for who has its token")] = (
        False
    )
    inspect_token: (
        Annotated[Secret, local("token of that page; none makes a new one at each start")] | None
    ) = None
    inspect_payload: Annotated[bool, local("that page may show the beginning of payloads")] = True
    fd: (
        Annotated[int, local("inherited listening socket to use instead: systemd's is 3", ge=0)]
        | None
    ) = None
    workers: (
        Annotated[int, local("processes that share the port; none serves in this one", ge=1)] | None
    ) = None
    access_log: Annotated[
        Literal["text", "json", "off"], local("how requests and ends of sessions are logged")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], local("what is logged to stderr")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], local("how all lines are written, those of the start, too")
    ] = "text"
    admin_port: (
        Annotated[
            int,
            local("TCP port of its own for health, metrics and inspect; 0: any", ge=0, le=65535),
        ]
        | None
    ) = None
    admin_host: Annotated[str, local("address on which the admin port is")] = "127.0.0.1"
    health: Annotated[bool, local("whether /healthz and /readyz are served")] = False
    metrics: Annotated[bool, local("whether /metrics is served (needs wsext-metrics)")] = False
    reload: Annotated[bool, local("whether changed files renew the workers (development)")] = False

    def check(self) -> None:
        if self.supervised and not hasattr(signal, "SIGHUP"):
            field = "workers" if self.workers else "reload"
            raise OptionError("serve", field, "needs processes that inherit sockets, as on POSIX")
        if self.supervised and self.inspect and self.admin_port is None:
            problem = "shows one process: set admin_port, where each worker has a page"
            raise OptionError("serve", "inspect", problem)

    @property
    def supervised(self) -> bool:
        """Whether the app runs in processes of its own."""
        return self.workers is not None or self.reload


class PluginOptions(OptionSet):
    """Which plugins may be loaded; decided before any of them is imported."""

    __owner__: ClassVar[str] = "plugins"

    allow: Annotated[tuple[str, ...], local("the only plugins that may be loaded")] | None = None
    deny: Annotated[tuple[str, ...], local("plugins that may not be loaded")] = ()
    strict: Annotated[bool, local("whether a broken plugin is fatal")] = False


#: The sections with options of their own.
SECTIONS: dict[str, type[OptionSet]] = {
    "serve": ServeOptions,
    "server": ServerOptions,
    "websocket": WebSocketOptions,
    "rooms": RoomOptions,
    "plugins": PluginOptions,
}
#: What may stand at the top of a file.
TOP = (*SECTIONS, "extensions", "option_sets")


def unknown_section(name: str) -> OptionError:
    """The error for a section that there is not, with the nearest one that there is."""
    known = ", ".join(TOP)
    return OptionError(name, None, f"no such section; known: {known}", nearest(name, TOP))


def dotted_names() -> list[str]:
    """The dotted name of every option that is not an extension's, for completion and help."""
    return [
        f"{section}.{field.name}"
        for section, options in SECTIONS.items()
        for field in option_fields(options)
    ]
