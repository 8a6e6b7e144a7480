"""Settings for servers that are not ours: from ``wsext.toml`` and the environment's ``WSEXT_*``."""

from __future__ import annotations

from collections.abc import Collection

from wsext.app.application import Application
from wsext.config.applying import apply, plugins_of
from wsext.config.sources import read_config

__all__ = ["settings_from_environment"]


def settings_from_environment() -> tuple[Application, Collection[str]]:
    """An app without routes, and the names of the session options that were set.

    Every installed wire extension is turned on, as ``wsext serve`` does it.

    Raises:
        OptionError: For an option that cannot be used.
        PluginError: For an extension or option set that was asked for and cannot be used.
    """
    config = read_config(None)
    settings = Application()
    apply(config, settings, plugins_of(config))
    return settings, config.sections["websocket"]
