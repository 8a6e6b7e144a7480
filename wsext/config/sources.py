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
    deny = ["wsext-experimental"]

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
#: Variables that are read elsewhere.
_OTHER_VARIABLES = ("WSEXT_BUILD_CODEC", "WSEXT_CODEC", "WSEXT_CONFIG", "WSEXT_PLUGINS")


def read_config(path: str | None, *, trust_folder: bool = True) -> Config:
    """What is configured: in a file, and over that in the environment.

    The file is the one named here or by ``WSEXT_CONFIG``, else ``wsext.toml`` of the current folder
    if there is one.

    Args:
        path: The file.
        trust_folder: Whether the current folder is the operator's own, as for a server. Of
            anybody's ``wsext.toml`` only `[plugins]` allow and deny count: they can turn plugins
            off, and do nothing else.

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
        config.update(read_file(Path(path)), path)
    tokens = [info.name for info in Plugins.from_environment().all()]
    take_environment(config, os.environ, tokens)
    return config


def _take_bans(config: Config) -> None:
    """Take what the current folder's file says about plugins that may not be loaded."""
    try:
        table = read_file(Path(HERE)).get("plugins", {})
        bans = {name: table[name] for name in ("allow", "deny") if name in table}
        PluginOptions.parse(bans)
    except (OptionError, TypeError) as error:
        logger.warning("%s; no plugin is loaded", error)
        bans = {"allow": []}
    config.set_section("plugins", bans, HERE)


def read_file(path: Path) -> dict[str, Any]:
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
            _take_variable(config, variable, text, tokens)


def _take_variable(config: Config, variable: str, text: str, tokens: Collection[str]) -> None:
    section, *rest = variable.removeprefix("WSEXT_").lower().split("__")
    if section == "option_sets" and not rest:
        config.option_sets.extend(names_of(text))
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


def take_setting(config: Config, text: str) -> None:
    """Take ``section.option=value``.

    A quoted text, a list and a table are TOML. Anything else is text until it is used: only the
    option's type tells whether ``12345`` is a number or a password.

    Raises:
        OptionError: If there is no such section, or the form is another.
    """
    path, separator, raw = text.partition("=")
    section, _, rest = path.strip().partition(".")
    if section not in TOP:
        raise unknown_section(section)
    if section == "option_sets" and separator:
        config.option_sets.extend(names_of(_value(raw)))
        return
    if not separator or not rest:
        raise OptionError(path, None, "expected section.option=value")
    if section != "extensions":
        config.set_section(section, {rest.strip(): _value(raw)}, "command line")
        return
    token, _, option = rest.rpartition(".")
    if not token:  # extensions.NAME=false
        config.set_extension(rest.strip(), _toml(raw))
    else:
        config.set_extension(token.strip(), {option.strip(): _value(raw)})


def take_extension(config: Config, text: str) -> None:
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
    config.set_extension(name.strip(), options)


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
    except (tomllib.TOMLDecodeError, KeyError):
        return raw.strip()
