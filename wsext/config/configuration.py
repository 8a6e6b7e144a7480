"""What an operator sets: ``wsext.toml`` and the command line, applied to an app.

    option_sets = ["low-memory"]

    [serve]                              # where and what to serve
    port = 8765

    [server]                             # fields of ServerOptions
    max_connections = 20000

    [websocket]                          # fields of WebSocketOptions
    max_message_size = 65536

    [rooms]                              # fields of RoomOptions
    history = 20

    [extensions]
    permessage-zstd = false              # not this one
    [extensions.permessage-deflate]      # this one, with these options
    level = 6

    [plugins]                            # what may be loaded at all
    deny = ["wsext-experimental"]

Every option has an environment variable, too: ``WSEXT_`` and its path in capitals, with two
underscores for each dot: ``WSEXT_SERVER__MAX_CONNECTIONS=20000``,
``WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__LEVEL=9``, ``WSEXT_OPTION_SETS=low-memory``.

Later sources win: option sets, then the file, then the environment, then the command line.
"""

from __future__ import annotations

import logging
import os
import signal
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from wsext.app.application import Application
from wsext.app.settings import ServerOptions
from wsext.errors import OptionError, PluginError, nearest
from wsext.rooms.settings import RoomOptions
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed
from wsext.sdk.options import OptionSet, local, option_fields
from wsext.sdk.plugins import Plugins, set_default_plugins

__all__ = [
    "SECTIONS",
    "Config",
    "PluginOptions",
    "ServeOptions",
    "apply",
    "dotted_names",
    "install",
    "load_config",
    "plugins_of",
    "read_config",
]

logger = logging.getLogger("wsext.config")


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
    health: Annotated[bool, local("whether /healthz and /readyz are served")] = False
    metrics: Annotated[bool, local("whether /metrics is served (needs wsext-metrics)")] = False
    reload: Annotated[bool, local("whether changed files renew the workers (development)")] = False

    def check(self) -> None:
        if self.supervised and not hasattr(signal, "SIGHUP"):
            field = "workers" if self.workers else "reload"
            raise OptionError("serve", field, "needs processes that inherit sockets, as on POSIX")
        if self.supervised and self.inspect:
            raise OptionError("serve", "inspect", "shows one process: leave out workers and reload")

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
_TOP = (*SECTIONS, "extensions", "option_sets")

#: Variables that are read elsewhere.
_OTHER_VARIABLES = ("WSEXT_BUILD_CODEC", "WSEXT_CODEC", "WSEXT_CONFIG", "WSEXT_PLUGINS")


class Config:
    """Everything that was set, by section; not yet applied to anything.

    Attributes:
        sections: Values by section and option.
        extensions: Options by token; ``None`` for an extension that is to be left out.
        option_sets: Names of option sets, applied in this order.
        sources: Where each value comes from, by its dotted name: ``command line``, the name of a
            variable or of a file.
    """

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        self.extensions: dict[str, dict[str, Any] | None] = {}
        self.option_sets: list[str] = []
        self.sources: dict[str, str] = {}

    def section(self, name: str) -> Any:
        """A section as its option set.

        Raises:
            OptionError: For an unknown option or a value that does not fit.
        """
        return SECTIONS[name].parse(self.sections[name])

    def update(self, table: Mapping[str, Any], source: str = "file") -> None:
        """Take the values of a parsed file.

        Raises:
            OptionError: For an unknown section.
        """
        for name, value in table.items():
            if name == "option_sets":
                self.option_sets.extend(_names(value))
            elif name == "extensions":
                for token, options in _table(name, value).items():
                    self.set_extension(token, options, source)
            elif name in SECTIONS:
                self.set_section(name, _table(name, value), source)
            else:
                raise _unknown_section(name)

    def set_section(self, name: str, values: Mapping[str, Any], source: str) -> None:
        """Take values of one section; what they are worth is seen when they are used."""
        self.sections[name].update({key.replace("-", "_"): item for key, item in values.items()})
        self.sources.update({f"{name}.{key.replace('-', '_')}": source for key in values})

    def update_from_environment(self, environ: Mapping[str, str], tokens: Collection[str]) -> None:
        """Take the variables that begin with ``WSEXT_``.

        Args:
            environ: For example `os.environ`.
            tokens: The installed plugins, for in a variable's name a dash is an underscore.

        Raises:
            OptionError: For a variable that stands for no option.
        """
        for variable, text in sorted(environ.items()):
            if variable.startswith("WSEXT_") and variable not in _OTHER_VARIABLES:
                self._set_variable(variable, text, tokens)

    def _set_variable(self, variable: str, text: str, tokens: Collection[str]) -> None:
        section, *rest = variable.removeprefix("WSEXT_").lower().split("__")
        if section == "option_sets" and not rest:
            self.option_sets.extend(_names(text))
        elif section in SECTIONS and len(rest) == 1:
            known = [field.name for field in option_fields(SECTIONS[section])]
            if rest[0] not in known:
                raise _unknown_variable(variable)
            self.set_section(section, {rest[0]: text}, variable)
        elif section == "extensions" and 1 <= len(rest) <= 2:
            as_tokens = {token.lower().replace("-", "_"): token for token in tokens}
            token = as_tokens.get(rest[0], rest[0].replace("_", "-"))
            value = _value(text) if len(rest) == 1 else {rest[1]: text}
            self.set_extension(token, value, variable)
        else:
            raise _unknown_variable(variable)

    def set_extension(self, token: str, options: Any, source: str = "command line") -> None:
        """Turn an extension on with more options, or off with ``False``."""
        self.sources[f"extensions.{token}"] = source
        if options is False:
            self.extensions[token] = None
            return
        values = {} if options is True else _table(f"extensions.{token}", options)
        self.extensions[token] = {**(self.extensions.get(token) or {}), **values}
        self.sources.update({f"extensions.{token}.{name}": source for name in values})

    def set_dotted(self, text: str) -> None:
        """Take ``section.option=value``; the value is TOML, or else text.

        Raises:
            OptionError: If there is no such section, or the form is another.
        """
        path, separator, raw = text.partition("=")
        section, _, rest = path.strip().partition(".")
        if section not in _TOP:
            raise _unknown_section(section)
        if section == "option_sets" and separator:
            self.option_sets.extend(_names(_value(raw)))
            return
        if not separator or not rest:
            raise OptionError(path, None, "expected section.option=value")
        if section != "extensions":
            self.set_section(section, {rest.strip(): _value(raw)}, "command line")
            return
        token, _, option = rest.rpartition(".")
        if not token:  # extensions.NAME=false
            self.set_extension(rest.strip(), _value(raw))
        else:
            self.set_extension(token.strip(), {option.strip(): _value(raw)})

    def set_extension_text(self, text: str) -> None:
        """Take ``NAME`` or ``NAME:key=value,flag,key=value``.

        Raises:
            OptionError: If the form is another.
        """
        name, _, rest = text.partition(":")
        options = {}
        for item in filter(None, (part.strip() for part in rest.split(","))):
            key, separator, value = item.partition("=")
            if not key.strip():
                raise OptionError(name, None, f"expected key=value, got {item!r}")
            options[key.strip()] = value.strip() if separator else True
        self.set_extension(name.strip(), options)


def _unknown_variable(variable: str) -> OptionError:
    names = [f"WSEXT_{name.upper().replace('.', '__')}" for name in dotted_names()]
    names += ["WSEXT_OPTION_SETS", *_OTHER_VARIABLES]
    problem = "no such variable; options are WSEXT_SECTION__OPTION"
    return OptionError(variable, None, problem, nearest(variable, names))


def _unknown_section(name: str) -> OptionError:
    known = ", ".join(_TOP)
    return OptionError(name, None, f"no such section; known: {known}", nearest(name, _TOP))


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(name, None, f"expected a table of options, got {value!r}")
    return value


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise OptionError("option_sets", None, f"expected a list of names, got {value!r}")


def _value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return raw.strip()


def load_config(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        OptionError: If it cannot be read, naming the file and the place in it.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise OptionError(str(path), None, error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(str(path), None, f"not TOML: {error}") from error


def read_config(path: str | None) -> Config:
    """What is configured: in a file, and over that in the environment.

    The file is the one named here or by ``WSEXT_CONFIG``, or ``wsext.toml`` of this folder if there
    is one.

    Raises:
        OptionError: If it cannot be read, or something in it or in the environment has no meaning.
    """
    config = Config()
    path = path or os.environ.get("WSEXT_CONFIG")
    if path is None and Path("wsext.toml").is_file():
        path = "wsext.toml"
    if path is not None:
        config.update(load_config(Path(path)), path)
    tokens = [info.name for info in Plugins.from_environment().all()]
    config.update_from_environment(os.environ, tokens)
    return config


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


def dotted_names() -> list[str]:
    """The dotted name of every option that is not an extension's, for completion and help."""
    return [
        f"{section}.{field.name}"
        for section, options in SECTIONS.items()
        for field in option_fields(options)
    ]


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
        for token, kind in plugins.extensions().items():
            left_out = token in config.extensions or token in without
            if issubclass(kind, Extension) and not left_out:
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
    for token, kind in plugins.extensions().items():
        if token in installed or token in config.extensions or not issubclass(kind, Extension):
            continue
        try:
            app.install(kind)
        except (OptionError, PluginError) as error:
            logger.warning("%s is left out: %s", token, error)
