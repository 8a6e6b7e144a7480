"""What all cases share: making instances and variants of the extension under test."""

from __future__ import annotations

import itertools
import logging
import unittest
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from wsext.errors import OptionError
from wsext.protocol.frames import Frame
from wsext.sdk.extension import Installable
from wsext.sdk.options import OptionField, option_fields

__all__ = ["Cases", "edges", "fragments", "logged_errors", "skip"]


def skip(reason: str) -> NoReturn:
    """Leave a case out, and say why."""
    raise unittest.SkipTest(reason)


def fragments(payload: bytes, cuts: Sequence[int], opcode: int = 2) -> list[Frame]:
    """A message cut at some places."""
    places = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
    parts = [payload[start:end] for start, end in itertools.pairwise(places)]
    last = len(parts) - 1
    return [Frame(0 if at else opcode, part, at == last) for at, part in enumerate(parts)]


@contextmanager
def logged_errors() -> Iterator[list[str]]:
    """What wsext logs as an error while the block runs."""
    records: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("wsext")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


class Cases:
    """Base of every group of cases."""

    extension: ClassVar[type[Installable]]
    options: ClassVar[Mapping[str, Any]] = {}
    variants: ClassVar[Sequence[Mapping[str, Any]] | None] = None
    messages: ClassVar[Sequence[bytes]] = (
        b"",
        b"a",
        b"hello, hello, hello",
        bytes(range(256)) * 8,
        b'{"price": 1.0001, "size": 100}' * 40,
        b"\x00" * 70_000,
    )
    examples: ClassVar[int] = 40

    def make(self, **options: Any) -> Any:
        """An instance of the extension under test."""
        return self.extension(**{**self.options, **options})

    def fields(self) -> tuple[OptionField, ...]:
        """Its options."""
        return option_fields(self.extension.Options)

    def all_variants(self) -> list[dict[str, Any]]:
        """Sets of options worth negotiating: the defaults, and the bounds of the wire options."""
        if self.variants is not None:
            return [dict(variant) for variant in self.variants]
        found: list[dict[str, Any]] = [{}]
        for field in self.fields():
            if field.wire is None:
                continue
            if field.type == "bool":
                values: list[Any] = [not field.default]
            else:
                values = [edge for edge in edges(field.bounds) if edge != field.default]
            for value in values:
                try:
                    self.make(**{field.name: value})
                except OptionError:
                    continue  # it needs company; the author may say which, in `variants`
                found.append({field.name: value})
        return found


def edges(bounds: str) -> list[int]:
    """The lowest and the highest of ``low to high``; nothing for other bounds."""
    low, separator, high = bounds.partition(" to ")
    if not separator:
        return []
    return [int(low), int(high)] if low.isdigit() and high.isdigit() else []
