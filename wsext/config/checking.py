"""What is wrong with a configuration: all of it at once, before any of it is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsext.config.configuration import Config
from wsext.config.sections import SECTIONS
from wsext.errors import OptionError, PluginError, UnknownPlugin
from wsext.sdk.installed import Installed
from wsext.sdk.options import OptionSet, refuse_code_options
from wsext.sdk.usable import is_installable

__all__ = ["note_extension_errors", "note_section_errors"]


def note_section_errors(config: Config) -> None:
    """Note every value of every section that does not fit."""
    for name, kind in SECTIONS.items():
        before = len(config.errors)
        _note_values(config, name, kind, config.sections[name])
        if len(config.errors) == before:  # each fits; together they may not
            with config.noting():
                config.section(name)


def note_extension_errors(config: Config, installed: Installed, *, know_all: bool = True) -> None:
    """Note every option set and extension that there is not, and every option that does not fit.

    Args:
        config: What was set.
        installed: Where names are looked up: what an app has, and the plugins.
        know_all: Whether a name that is not found there is wrong; an app that is not loaded yet
            may have it.
    """
    for name in config.option_sets:
        with config.noting(), config.naming_sources(f"option_sets.{name}"):
            installed.plugins.option_set(name)
    for token, options in config.extensions.items():
        path = f"extensions.{token}"
        try:
            with config.naming_sources(path):
                kind = installed.find(token)
        except UnknownPlugin as error:
            if know_all:
                config.errors.append(error)
        except PluginError:
            pass  # it is broken, and no name is wrong
        else:
            if options and is_installable(kind):
                _note_values(config, path, kind.Options, options, token)


def _note_values(
    config: Config,
    path: str,
    kind: type[OptionSet],
    values: Mapping[str, Any],
    token: str | None = None,
) -> None:
    for name, value in values.items():
        with config.noting(), config.naming_sources(path):
            if token is not None:
                refuse_code_options(kind, [name], token)
            try:
                kind.parse({name: value}, owner=token)
            except OptionError as error:
                if error.field == name:  # and not because another one is missing
                    raise
