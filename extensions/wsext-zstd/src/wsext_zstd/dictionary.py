"""A dictionary: what messages have in common, known to both sides beforehand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import zstandard

__all__ = ["Dictionary"]


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A trained dictionary.

    Attributes:
        content: Its bytes, as `zstandard.train_dictionary` makes them.
    """

    content: bytes

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """Read a file that ``wsext zstd train`` wrote.

        Raises:
            ValueError: If it cannot be read, or is empty.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"dictionary {path}: {error.strerror or error}") from error
        if not content:
            raise ValueError(f"dictionary {path} is empty")
        return cls(content)

    @property
    def id(self) -> str:
        """What it is called in a header: equal for equal content, whatever the file's name."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    def for_zstd(self) -> zstandard.ZstdCompressionDict:
        """The library's form of it."""
        return zstandard.ZstdCompressionDict(self.content)
