"""What was set, where each value comes from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wsext.config.lines import line_of
from wsext.config.sections import SECTIONS, unknown_section
from wsext.errors import OptionError, UnknownPlugin

__all__ = ["Config", "names_of"]


class Config:
    """Everything that was set, by section; not yet applied to anything.

    Attributes:
        sections: Values by section and option.
        extensions: Options by token; ``None`` for an extension that is to be left out.
        option_sets: Names of option sets, applied in this order.
        sources: Where each value comes from, by its dotted name: ``command line``, the name of a
            variable or of a file.
        errors: What was found to be wrong and is not yet raised.
    """

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        self.extensions: dict[str, dict[str, Any] | None] = {}
        self.option_sets: list[str] = []
        self.sources: dict[str, str] = {}
        self.errors: list[OptionError | UnknownPlugin] = []
        self._flags: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def section(self, name: str) -> Any:
        """A section as its option set.

        Raises:
            OptionError: For an unknown option or a value that does not fit.
        """
        with self.naming_sources(name):
            return SECTIONS[name].parse(self.sections[name])

    # --- errors -------------------------------------------------------------------------------

    @contextmanager
    def naming_sources(self, path: str) -> Iterator[None]:
        """Let an error name where its value was set: below ``path``, such as ``server``."""
        try:
            yield
        except OptionError as error:
            error.source = self.place_of(f"{path}.{error.field}") or self.place_of(path)
            raise
        except UnknownPlugin as error:
            error.source = self.place_of(path)
            raise

    def place_of(self, dotted: str) -> str | None:
        """Where a value was set, as exactly as it is known: a line, a variable, a flag."""
        source = self.sources.get(dotted) or self._tables.get(dotted)
        if source in self._texts:
            text, above = self._texts[source], dotted.rpartition(".")[0]
            line = line_of(text, dotted) or line_of(text, above)
            return f"{source}, line {line}" if line else source
        flag = self._flags.get(dotted)
        return f"{source}, {flag}" if source and flag else source

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what is wrong and go on, so that `raise_errors` tells all of it at once."""
        try:
            yield
        except (OptionError, UnknownPlugin) as error:
            self.errors.append(error)

    def raise_errors(self) -> None:
        """Raise the first of the errors that were noted; the others are its notes (PEP 678)."""
        if not self.errors:
            return
        first, *others = self.errors
        self.errors = []
        told = [str(first), *getattr(first, "__notes__", ())]
        for error in others:
            for text in (str(error), *getattr(error, "__notes__", ())):
                if text not in told:
                    told.append(text)
                    first.add_note(text)
        raise first

    # --- taking values ------------------------------------------------------------------------

    def update(self, table: Mapping[str, Any], source: str = "file", text: str = "") -> None:
        """Take the values of a parsed file.

        Args:
            table: What is in it.
            source: Its name.
            text: Itself, from which errors have their lines.

        Raises:
            OptionError: For unknown sections, and for what is no table.
        """
        if text:
            self._texts[source] = text
        for name, value in table.items():
            self._tables[name] = source
            with self.noting(), self.naming_sources(name):
                self._take(name, value, source)
        self.raise_errors()

    def _take(self, name: str, value: Any, source: str) -> None:
        if name == "option_sets":
            self.add_option_sets(names_of(value), source)
        elif name == "extensions":
            for token, options in _table(name, value).items():
                with self.noting(), self.naming_sources(f"extensions.{token}"):
                    self.set_extension(token, options, source)
        elif name in SECTIONS:
            self.set_section(name, _table(name, value), source)
        else:
            raise unknown_section(name)

    def add_option_sets(self, names: list[str], source: str, flag: str = "") -> None:
        """Take names of option sets; they are looked up when they are applied."""
        self.option_sets.extend(names)
        for name in names:
            self._note_source(f"option_sets.{name}", source, flag)

    def set_section(
        self, name: str, values: Mapping[str, Any], source: str, flag: str = ""
    ) -> None:
        """Take values of one section; they are checked when they are used.

        Args:
            name: The section.
            values: By option.
            source: Where they come from; see `sources`.
            flag: On the command line, the flag.
        """
        self.sections[name].update(_named(values))
        for key in _named(values):
            self._note_source(f"{name}.{key}", source, flag)

    def set_extension(
        self, token: str, options: Any, source: str = "command line", flag: str = ""
    ) -> None:
        """Turn an extension on with more options, or off with ``False``.

        Raises:
            OptionError: If the options are no table.
        """
        self._note_source(f"extensions.{token}", source, flag)
        if options is False:
            self.extensions[token] = None
            return
        values = {} if options is True else _named(_table(f"extensions.{token}", options))
        self.extensions[token] = {**(self.extensions.get(token) or {}), **values}
        for name in values:
            self._note_source(f"extensions.{token}.{name}", source, flag)

    def _note_source(self, dotted: str, source: str, flag: str) -> None:
        self.sources[dotted] = source
        self._flags[dotted] = flag


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
