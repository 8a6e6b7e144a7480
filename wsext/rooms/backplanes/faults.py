"""What came from a broker and cannot be used: it is left out, counted, and named now and then."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import msgspec

from wsext.escape import get_logger
from wsext.rooms.backplanes.contract import BackplaneStatus
from wsext.runtime.rates import Rarely

__all__ = ["Faults"]

logger = get_logger("wsext.backplane")

T = TypeVar("T")


class Faults:
    """Reads what came from a broker, each thing on its own.

    What is said about a fault never holds what came: whoever can write to the broker writes no log.

    Args:
        status: Where to count.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, status: BackplaneStatus, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._status = status
        self._warn: defaultdict[str, Rarely] = defaultdict(lambda: Rarely(logger.warning, clock))

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
        self._warn[kind](
            "%s: %s of room %r cannot be read and is left out: %s",
            *(self._status.url, kind, room, why),
        )
