"""What sessions under uvicorn go by: wsext's configuration, and uvicorn's own options."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_network
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

from wsext.app.application import Application
from wsext.config.applying import apply, plugins_of
from wsext.config.sources import read_config
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.sweep import Sweep
from wsext.runtime.timers import Timers
from wsext.runtime.turns import turns_of
from wsext.sdk.installed import Installed
from wsext.server.accepting import most_connections
from wsext.server.admission import Addresses, Admission
from wsext.server.decision import Terms
from wsext.server.hosts import Hosts
from wsext.server.proxies import Proxies
from wsext.server.trimming import Trimming

__all__ = ["Profiles", "session_options", "settings_from_environment"]

#: Options of sessions by the option of uvicorn that means the same.
_UVICORN_OPTIONS = {
    "max_message_size": "ws_max_size",
    "incoming_capacity": "ws_max_queue",
    "ping_interval": "ws_ping_interval",
    "ping_timeout": "ws_ping_timeout",
}

_DEFLATE = "permessage-deflate"


def settings_from_environment() -> tuple[Application, Collection[str]]:
    """What ``wsext.toml`` and ``WSEXT_*`` say: an app without routes, and the names of the session
    options that were set.

    Every installed wire extension is turned on, as ``wsext serve`` does it.

    Raises:
        OptionError: For an option that cannot be used.
        PluginError: For an extension or option set that was asked for and cannot be used.
    """
    config = read_config(None)
    settings = Application()
    apply(config, settings, plugins_of(config))
    return settings, config.sections["websocket"]


class Profiles:
    """What is in force under each uvicorn that uses the same settings.

    Args:
        settings: Extensions, plugins and options are taken from it.
        explicit: Names of options that were set although they have wsext's default value.
        logger: Where the limits that sessions reach are logged.
    """

    def __init__(
        self, settings: Application, explicit: Collection[str], logger: logging.Logger
    ) -> None:
        self._settings = settings
        self._explicit = frozenset(settings.options.changed()) | frozenset(explicit)
        self._logger = logger
        self._most, _ = most_connections(settings.server_options.max_connections)
        self._addresses = Addresses(settings.server_options, time.monotonic)
        self._admitted: set[Admission] = set()
        self._carried: dict[Session, Admission] = {}
        self._seen_by: WeakKeyDictionary[uvicorn.Config, tuple[Proxies, Hosts]] = (
            WeakKeyDictionary()
        )
        self._terms: WeakKeyDictionary[uvicorn.Config, Terms] = WeakKeyDictionary()
        self._sweeps: WeakKeyDictionary[Timers, Sweep] = WeakKeyDictionary()
        self._trimmings: WeakKeyDictionary[Timers, Trimming] = WeakKeyDictionary()

    def terms(self, config: uvicorn.Config) -> Terms:
        """What a handshake is judged by; the application chooses the subprotocol."""
        found = self._terms.get(config)
        if found is None:
            found = self._terms[config] = Terms(
                session_options(config, self._settings.options, self._explicit),
                self._installed(config),
                subprotocols=None,
                max_offers=self._settings.server_options.max_offers,
            )
        return found

    def _installed(self, config: uvicorn.Config) -> Installed:
        installed = self._settings.installed
        if config.ws_per_message_deflate:
            return installed
        return installed.subset(item.name for item in installed.extensions if item.name != _DEFLATE)

    def admit(self, config: uvicorn.Config, peername: Any) -> Admission:
        """Count a connection that uvicorn has handed over, until it is released.

        Args:
            config: Says which proxies uvicorn trusts.
            peername: The peer's address, as the transport has it.
        """
        is_full = self._most is not None and len(self._admitted) >= self._most
        proxies, _ = self._seen_through(config)
        limit = "max_connections" if is_full else ""
        admission = Admission(self._addresses, proxies, peername, limit)
        self._admitted.add(admission)
        return admission

    def release(self, admission: Admission, timers: Timers) -> None:
        """A connection is gone; what runs its timeouts is that of its event loop."""
        self._admitted.discard(admission)
        admission.leave()
        trimming = self._trimmings.get(timers)
        if trimming is None:
            trimming = self._trimmings[timers] = Trimming(timers)
        trimming.note_end()

    def enter(self, session: Session, admission: Admission) -> None:
        """A session goes on with a connection, until it leaves it."""
        self._carried[session] = admission

    def leave(self, session: Session, timers: Timers) -> None:
        """A session has lost its connection."""
        admission = self._carried.pop(session, None)
        if admission is not None:
            self.release(admission, timers)

    def hosts(self, config: uvicorn.Config) -> Hosts:
        """Which hosts are served here."""
        return self._seen_through(config)[1]

    def _seen_through(self, config: uvicorn.Config) -> tuple[Proxies, Hosts]:
        found = self._seen_by.get(config)
        if found is None:
            options = self._settings.server_options
            proxies = Proxies((*options.trusted_proxies, *_trusted_by_uvicorn(config)))
            found = self._seen_by[config] = proxies, Hosts(options.allowed_hosts, proxies)
        return found

    def sweep(self, timers: Timers) -> Sweep:
        """What looks after the limits of the sessions of this event loop."""
        found = self._sweeps.get(timers)
        if found is None:
            found = self._sweeps[timers] = Sweep(timers, self._settings.installed, self._logger)
            turns = turns_of(asyncio.get_running_loop())
            turns.limit(self._settings.server_options.incoming_total)
        return found


def session_options(
    config: uvicorn.Config, options: WebSocketOptions, explicit: Collection[str]
) -> WebSocketOptions:
    """The options of sessions: uvicorn's where they were changed, then those that were set for
    wsext, then uvicorn's defaults.

    Raises:
        OptionError: For a value outside of wsext's bounds.
    """
    parameters = inspect.signature(uvicorn.Config).parameters
    values: dict[str, Any] = {}
    for name, theirs in _UVICORN_OPTIONS.items():
        value = getattr(config, theirs)
        if name not in explicit or value != parameters[theirs].default:
            # 0 is uvicorn's way to send no pings.
            values[name] = (value or None) if name.startswith("ping_") else value
    return options.replace(values)


def _trusted_by_uvicorn(config: uvicorn.Config) -> list[str]:
    """The addresses whose headers uvicorn believes: ``--forwarded-allow-ips``."""
    if not config.proxy_headers:
        return []
    given = config.forwarded_allow_ips or ""
    items = given.split(",") if isinstance(given, str) else given
    found: list[str] = []
    for item in map(str.strip, items):
        if item == "*":
            return ["0.0.0.0/0", "::/0", "unix"]
        with suppress(ValueError):  # uvicorn takes any text for the name of a peer
            found.append(str(ip_network(item, strict=False)))
    return found
