"""What was set, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wsext.config.sections import SECTIONS, unknown_section
from wsext.errors import OptionError

__all__ = ["Config", "names_of"]


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
        with self.naming_sources(name):
            return SECTIONS[name].parse(self.sections[name])

    @contextmanager
    def naming_sources(self, path: str) -> Iterator[None]:
        """Let an `OptionError` name where its value was set: below ``path``, such as ``server``."""
        try:
            yield
        except OptionError as error:
            error.source = self.sources.get(f"{path}.{error.field}", self.sources.get(path))
            raise

    def update(self, table: Mapping[str, Any], source: str = "file") -> None:
        """Take the values of a parsed file.

        Raises:
            OptionError: For an unknown section.
        """
        for name, value in table.items():
            if name == "option_sets":
                self.option_sets.extend(names_of(value))
            elif name == "extensions":
                for token, options in _table(name, value).items():
                    self.set_extension(token, options, source)
            elif name in SECTIONS:
                self.set_section(name, _table(name, value), source)
            else:
                raise unknown_section(name)

    def set_section(self, name: str, values: Mapping[str, Any], source: str) -> None:
        """Take values of one section; they are checked when they are used."""
        self.sections[name].update(_named(values))
        self.sources.update({f"{name}.{key}": source for key in _named(values)})

    def set_extension(self, token: str, options: Any, source: str = "command line") -> None:
        """Turn an extension on with more options, or off with ``False``."""
        self.sources[f"extensions.{token}"] = source
        if options is False:
            self.extensions[token] = None
            return
        values = {} if options is True else _named(_table(f"extensions.{token}", options))
        self.extensions[token] = {**(self.extensions.get(token) or {}), **values}
        self.sources.update({f"extensions.{token}.{name}": source for name in values})


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in values.items()}


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(name, None, f"expected a table of options, got {value!r}")
    return value


def names_of(value: Any) -> list[str]:
    """A list of names, or names with commas between.

    Raises:
        OptionError: If it is neither.
    """
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise OptionError("option_sets", None, f"expected a list of names, got {value!r}")
