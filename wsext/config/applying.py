"""How a configuration is brought into force: on plugins, on an app, for a client."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from wsext.app.application import Application
from wsext.config.configuration import Config
from wsext.config.sources import read_config
from wsext.errors import OptionError, PluginError
from wsext.escape import get_logger
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.installed import Installed
from wsext.sdk.plugins import Plugins, set_default_plugins

__all__ = ["allowed_plugins", "apply", "install", "plugins_of"]

logger = get_logger("wsext.config")


def plugins_of(config: Config) -> Plugins:
    """The plugins that a configuration and ``WSEXT_PLUGINS`` allow, from now on everyone's.

    Raises:
        OptionError: For a wrong option in ``[plugins]``.
    """
    options = config.section("plugins")
    plugins = Plugins.from_environment(
        allow=options.allow, deny=options.deny, strict=options.strict
    )
    set_default_plugins(plugins)
    return plugins


def allowed_plugins(config: str | None = None) -> Plugins:
    """The plugins that may be loaded where nobody has asked for one: for help and completion.

    What cannot be read allows none, and is logged.
    """
    try:
        return plugins_of(read_config(config, trust_folder=False))
    except OptionError as error:
        logger.warning("%s; no plugin is loaded", error)
        return Plugins(allow=())


def install(
    config: Config, plugins: Plugins, *, others: bool = True, without: Collection[str] = ()
) -> Installed:
    """What is configured, and every other installed wire extension, for a client or a dry run.

    Args:
        config: What was set.
        plugins: Where tokens are looked up.
        others: Whether extensions that are not configured are installed, too.
        without: Tokens to leave out; ``all`` leaves out those that are not configured.

    Raises:
        OptionError, PluginError: For an extension that was asked for and cannot be used.
    """
    installed = Installed(plugins)
    for token, options in config.extensions.items():
        if options is not None and token not in without:
            installed.configure(token, options)
    if others and "all" not in without:
        for kind in _other_extensions(plugins, {*config.extensions, *without}):
            with suppress(OptionError):  # it cannot be used without options
                installed.install(kind)
    return installed


def apply(config: Config, app: Application, plugins: Plugins) -> None:
    """Bring an app to what the operator set, and turn on every installed wire extension.

    Raises:
        OptionError: For an option that cannot be used.
        PluginError: For an extension or option set that was asked for and cannot be used.
    """
    for name in config.option_sets:
        app.install(plugins.option_set(name))
    app.options = app.options.replace(config.sections["websocket"])
    app.server_options = app.server_options.replace(config.sections["server"])
    app.room_options = app.room_options.replace(config.sections["rooms"])
    for token, options in config.extensions.items():
        if options is None:
            app.uninstall(token)
        else:
            app.configure(token, **options)
    installed = {item.name for item in app.installed.items}
    for kind in _other_extensions(plugins, {*installed, *config.extensions}):
        try:
            app.install(kind)
        except (OptionError, PluginError) as error:
            logger.warning("%s is left out: %s", kind.name, error)


def _other_extensions(plugins: Plugins, decided: Collection[str]) -> Iterator[type[Installable]]:
    """The installed wire extensions about which nothing was decided."""
    for token, kind in plugins.extensions().items():
        if issubclass(kind, Extension) and token not in decided:
            yield kind
