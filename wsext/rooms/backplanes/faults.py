"""What came from a broker and cannot be used: it is left out, counted, and named now and then."""

from __future__ import annotations

import time
from typing import TypeVar

import msgspec

from wsext.escape import get_logger
from wsext.rooms.backplanes.contract import BackplaneStatus

__all__ = ["Faults"]

logger = get_logger("wsext.backplane")

T = TypeVar("T")

#: Seconds between two log lines about faults of one kind.
_QUIET = 60.0


class Faults:
    """Reads what came from a broker, each thing on its own.

    What is said about a fault never holds what came: whoever can write to the broker writes no log.

    Args:
        status: Where to count.
    """

    def __init__(self, status: BackplaneStatus) -> None:
        self._status = status
        self._named: dict[str, float] = {}

    def read(
        self, kind: str, room: str, decoder: msgspec.msgpack.Decoder[T], data: bytes
    ) -> T | None:
        """Decode one thing; ``None`` if it cannot be read.

        Args:
            kind: What it is, for the log: ``"a message"``.
            room: Where it came from.
            decoder: Says which types it has.
            data: What came.
        """
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            self.add(kind, room, "its types are wrong")
        except (ValueError, RecursionError):  # msgspec's own, text that is not UTF-8, deep nesting
            self.add(kind, room, "it is not MessagePack")
        return None

    def add(self, kind: str, room: str, why: str) -> None:
        """Count a thing that is left out, and name the first of its kind in a minute."""
        self._status.unreadable += 1
        now = time.monotonic()
        if now - self._named.get(kind, -_QUIET) >= _QUIET:
            self._named[kind] = now
            logger.warning(
                "%s: %s of room %r cannot be read and is left out: %s (%d so far)",
                *(self._status.url, kind, room, why, self._status.unreadable),
            )
