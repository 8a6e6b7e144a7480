"""How a configuration is brought into force: on plugins, on an app, for a client."""

from __future__ import annotations

from collections.abc import Collection

from wsext.app.application import Application
from wsext.config.checking import note_extension_errors, note_section_errors
from wsext.config.configuration import Config
from wsext.config.sources import read_config
from wsext.errors import OptionError, WsextError
from wsext.escape import get_logger
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.installed import Installed
from wsext.sdk.options import refuse_code_options
from wsext.sdk.plugins import Plugins, set_default_plugins
from wsext.sdk.usable import is_installable

__all__ = [
    "allowed_plugins",
    "apply",
    "configure",
    "install",
    "plugins_of",
    "refuse_errors",
    "with_defaults",
]

logger = get_logger("wsext.config")


def plugins_of(config: Config) -> Plugins:
    """The plugins that a configuration and ``WSEXT_PLUGINS`` allow, from now on everyone's.

    Raises:
        OptionError: For a wrong option in ``[plugins]``, or a name there that no plugin has.
    """
    options = config.section("plugins")
    with config.naming_sources("plugins"):
        plugins = Plugins.from_environment(
            allow=options.allow, deny=options.deny, strict=options.strict
        )
    set_default_plugins(plugins)
    return plugins


def refuse_errors(config: Config, *, has_app: bool = False) -> None:
    """Refuse a configuration in which something is wrong, and tell all that is.

    What is wrong with extensions is told if something else is wrong, too. Otherwise `apply` tells
    it, which knows what the app has.

    Args:
        config: What was set.
        has_app: Whether there is an app that may have extensions of its own.

    Raises:
        OptionError, UnknownPlugin: The first error; the others are its notes.
    """
    note_section_errors(config)
    if config.errors:
        with config.noting():
            installed = Installed(plugins_of(config))
            note_extension_errors(config, installed, know_all=not has_app)
        config.raise_errors()


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
    for token in without:
        if token != "all" and token not in config.extensions:
            config.set_extension(token, False, flag="--no-ext")
    note_extension_errors(config, installed)
    config.raise_errors()
    for token in config.extensions:
        if token not in without:
            configure(config, token, installed)
    if others and "all" not in without:
        _install_others(installed, plugins, {*config.extensions, *without})
    return installed


def apply(config: Config, app: Application, plugins: Plugins) -> None:
    """Bring an app to what the operator set, and turn on every installed wire extension that can be
    used with its defaults.

    Raises:
        OptionError: For an option that cannot be used.
        PluginError: For an extension or option set that was asked for and cannot be used.
    """
    note_extension_errors(config, app.installed)
    config.raise_errors()
    for name in config.option_sets:
        app.install(plugins.option_set(name))
    with config.naming_sources("websocket"):
        app.options = app.options.replace(config.sections["websocket"])
    with config.naming_sources("server"):
        app.server_options = app.server_options.replace(config.sections["server"])
    with config.naming_sources("rooms"):
        app.room_options = app.room_options.replace(config.sections["rooms"])
    for token in config.extensions:
        configure(config, token, app.installed)
    installed = {item.name for item in app.installed.items}
    _install_others(app.installed, plugins, {*installed, *config.extensions})


def configure(config: Config, token: str, installed: Installed) -> None:
    """Turn one extension on as it was configured, or off.

    Raises:
        OptionError: For an option that cannot be used, or that only code can set; it names where
            the value was set.
        PluginError: If the extension cannot be used.
    """
    options = config.extensions[token]
    if options is None:
        installed.remove(token)
        return
    with config.naming_sources(f"extensions.{token}"):
        kind = installed.find(token)
        if is_installable(kind):
            refuse_code_options(kind.Options, options, token)
        installed.configure(token, options)


def _install_others(installed: Installed, plugins: Plugins, decided: Collection[str]) -> None:
    """Install the wire extensions about which nothing was decided, if they can be used."""
    for token, kind in plugins.extensions().items():
        if not issubclass(kind, Extension) or token in decided:
            continue
        try:
            installed.install(with_defaults(kind))
        except OptionError as error:
            logger.info("%s; it is off until it is configured", error)
        except WsextError as error:
            if plugins.strict:
                raise
            logger.warning("%s is left out: %s", token, error)


def with_defaults(kind: type[Installable]) -> Installable:
    """An extension as it is when nothing is configured.

    Raises:
        OptionError: If it is off until it is configured.
        PluginError: If it is broken.
    """
    if issubclass(kind, Extension) and kind.off_until_configured:
        raise OptionError(kind.name, None, "its class says that it has to be configured")
    return kind()
