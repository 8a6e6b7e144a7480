"""Where a configuration comes from: ``wsext.toml``, the environment, the command line.

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
    deny = ["framelog"]

Every option has an environment variable, too: ``WSEXT_`` and its path in capitals, with two
underscores for each dot: ``WSEXT_SERVER__MAX_CONNECTIONS=20000``,
``WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__LEVEL=9``, ``WSEXT_OPTION_SETS=low-memory``.

Later sources win: option sets, then the file, then the environment, then the command line.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from wsext.config.configuration import Config, names_of
from wsext.config.sections import SECTIONS, TOP, PluginOptions, dotted_names, unknown_section
from wsext.errors import OptionError, nearest
from wsext.escape import get_logger
from wsext.sdk.options import option_fields
from wsext.sdk.plugins import Plugins

__all__ = ["HERE", "read_config", "read_file", "take_environment", "take_extension", "take_setting"]

logger = get_logger("wsext.config")

#: The file of the current folder.
HERE = "wsext.toml"
_COMMAND_LINE = "command line"
#: What the reader of TOML raises: also for thousands of digits or brackets.
_NO_TOML = (ValueError, RecursionError)
#: Variables that are read elsewhere.
_OTHER_VARIABLES = (
    "WSEXT_BUILD_CODEC",
    "WSEXT_CODEC",
    "WSEXT_CONFIG",
    "WSEXT_PLUGINS",
    "WSEXT_WORKER",
)


def read_config(
    path: str | None, *, trust_folder: bool = True, raise_errors: bool = True
) -> Config:
    """What is configured: in a file, and over that in the environment.

    The file is the one named here or by ``WSEXT_CONFIG``, else ``wsext.toml`` of the current folder
    if there is one.

    Args:
        path: The file.
        trust_folder: Whether the current folder is the operator's own, as for a server. Of
            anybody's ``wsext.toml`` only `[plugins]` allow and deny count: they can turn plugins
            off, and do nothing else.
        raise_errors: Whether what is wrong is raised. Otherwise it is noted in the configuration,
            to be told with what is still to be found.

    Raises:
        OptionError: If it cannot be read, or something in it or in the environment has no meaning.
    """
    config = Config()
    path = path or os.environ.get("WSEXT_CONFIG")
    if path is None and Path(HERE).is_file():
        if trust_folder:
            path = HERE
        else:
            _take_bans(config)
    if path is not None:
        with config.noting():
            text = _read(Path(path))
            config.update(_parse(text, Path(path)), path, text)
    with config.noting():
        tokens = [info.name for info in Plugins.from_environment().all()]
        take_environment(config, os.environ, tokens)
    if raise_errors:
        config.raise_errors()
    return config


def _take_bans(config: Config) -> None:
    """Take what the current folder's file says about plugins that may not be loaded."""
    try:
        table = read_file(Path(HERE)).get("plugins", {})
        bans = {name: table[name] for name in ("allow", "deny") if name in table}
        options = PluginOptions.parse(bans)
        Plugins.from_environment(allow=options.allow, deny=options.deny)
    except (OptionError, TypeError) as error:
        logger.warning("%s; no plugin is loaded", error)
        bans = {"allow": []}
    config.set_section("plugins", bans, HERE)


def read_file(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        OptionError: If it cannot be read, naming the file and the place in it.
    """
    return _parse(_read(path), path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        there = [item.name for item in path.parent.glob("*.toml")]
        close = nearest(path.name, there)
        raise OptionError(str(path), None, error.strerror or str(error), close) from error
    except UnicodeDecodeError as error:
        raise OptionError(str(path), None, f"not TOML: {error}") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except _NO_TOML as error:
        raise OptionError(str(path), None, f"not TOML: {error}") from error


def take_environment(config: Config, environ: Mapping[str, str], tokens: Collection[str]) -> None:
    """Take the variables that begin with ``WSEXT_``.

    Args:
        config: Takes the values.
        environ: For example `os.environ`.
        tokens: The installed plugins, for in a variable's name a dash is an underscore.

    Raises:
        OptionError: For a variable that stands for no option.
    """
    for variable, text in sorted(environ.items()):
        if variable.startswith("WSEXT_") and variable not in _OTHER_VARIABLES:
            with config.noting():
                _take_variable(config, variable, text, tokens)
    config.raise_errors()


def _take_variable(config: Config, variable: str, text: str, tokens: Collection[str]) -> None:
    section, *rest = variable.removeprefix("WSEXT_").lower().split("__")
    if section == "option_sets" and not rest:
        config.add_option_sets(names_of(text), variable)
    elif section in SECTIONS and len(rest) == 1:
        known = [field.name for field in option_fields(SECTIONS[section])]
        if rest[0] not in known:
            raise _unknown_variable(variable)
        config.set_section(section, {rest[0]: text}, variable)
    elif section == "extensions" and 1 <= len(rest) <= 2:
        as_tokens = {token.lower().replace("-", "_"): token for token in tokens}
        token = as_tokens.get(rest[0], rest[0].replace("_", "-"))
        value = _toml(text) if len(rest) == 1 else {rest[1]: text}
        config.set_extension(token, value, variable)
    else:
        raise _unknown_variable(variable)


def take_setting(config: Config, text: str, flag: str = "") -> None:
    """Take ``section.option=value``; ``flag`` is where it stood on the command line.

    A quoted text, a list and a table are TOML. Anything else is text until it is used: only the
    option's type tells whether ``12345`` is a number or a password.

    Raises:
        OptionError: If there is no such section, or the form is another.
    """
    path, separator, raw = text.partition("=")
    section, _, rest = path.strip().partition(".")
    place = f"{_COMMAND_LINE}, {flag}" if flag else _COMMAND_LINE
    if section not in TOP:
        raise _at(place, unknown_section(section))
    if section == "option_sets" and separator:
        config.add_option_sets(names_of(_value(raw)), _COMMAND_LINE, flag)
        return
    if not separator or not rest:
        raise _at(place, OptionError(path, None, "expected section.option=value"))
    if section != "extensions":
        config.set_section(section, {rest.strip(): _value(raw)}, _COMMAND_LINE, flag)
        return
    token, _, option = rest.rpartition(".")
    if not token:  # extensions.NAME=false
        config.set_extension(rest.strip(), _toml(raw), _COMMAND_LINE, flag)
    else:
        options = {option.strip(): _value(raw)}
        config.set_extension(token.strip(), options, _COMMAND_LINE, flag)


def take_extension(config: Config, text: str, flag: str = "") -> None:
    """Take ``NAME`` or ``NAME:key=value,flag,key=value``; ``flag`` as for `take_setting`.

    Raises:
        OptionError: If the form is another.
    """
    name, _, rest = text.partition(":")
    options = {}
    for item in filter(None, (part.strip() for part in rest.split(","))):
        key, separator, value = item.partition("=")
        if not key.strip():
            place = f"{_COMMAND_LINE}, {flag}" if flag else _COMMAND_LINE
            raise _at(place, OptionError(name, None, f"expected key=value, got {item!r}"))
        options[key.strip()] = value.strip() if separator else True
    config.set_extension(name.strip(), options, _COMMAND_LINE, flag)


def _at(place: str, error: OptionError) -> OptionError:
    error.source = place
    return error


def _unknown_variable(variable: str) -> OptionError:
    names = [f"WSEXT_{name.upper().replace('.', '__')}" for name in dotted_names()]
    names += ["WSEXT_OPTION_SETS", *_OTHER_VARIABLES]
    problem = "no such variable; options are WSEXT_SECTION__OPTION"
    return OptionError(variable, None, problem, nearest(variable, names))


def _value(raw: str) -> Any:
    value = _toml(raw)
    return value if isinstance(value, str | list | dict) else raw.strip()


def _toml(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (*_NO_TOML, KeyError):
        return raw.strip()
