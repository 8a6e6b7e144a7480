"""How are a target's bytes divided into choices and material?"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LIMIT", "Source"]

#: What a received frame or message may have; small, so that limits are met early.
LIMIT = 4096


class Source:
    """Takes choices off the front of a target's bytes; what is left is the material."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def byte(self) -> int:
        value = self.rest[0] if self.rest else 0
        self.rest = self.rest[1:]
        return value

    def cuts(self) -> Iterator[bytes]:
        """The rest in pieces; the sizes come from a seed that the data gives."""
        seed = self.byte()
        data, at = self.rest, 0
        while at < len(data):
            size = 1 + seed % 97 if seed & 1 else len(data)
            yield data[at : at + size]
            at += size
            seed = (seed * 73 + 41) & 0xFF
