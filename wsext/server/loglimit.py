"""How much is logged a minute: whoever can cause one line can cause a million of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from wsext.runtime.rates import Bucket

__all__ = ["LineLimit"]

#: Lines a minute that one place of the code may log, and as many at once.
_LINES = 30
#: Loggers of which an operator asks for every line.
_UNLIMITED = ("wsext.access", "wsext.framelog")


class LineLimit(logging.Filter):
    """A filter for handlers: limits what each place in the code of wsext and asyncio logs.

    Beyond 30 lines a minute records are left out; the next one that is written says how many. The
    access log, debug messages and what an app logs itself have no limit.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], Bucket] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        limited = record.name.partition(".")[0] in ("wsext", "asyncio")
        if not limited or record.name in _UNLIMITED or record.levelno <= logging.DEBUG:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        bucket = self._places.setdefault(place, Bucket(_LINES / 60, 60, now))
        if bucket.take(0, now) > 0:
            self._left_out[place] = self._left_out.get(place, 0) + 1
            return False
        bucket.take(1 + len((record.exc_text or "").splitlines()), now)
        count = self._left_out.pop(place, 0)
        if count:
            record.msg = f"{record.msg} (and {count} more, left out)"
        return True
