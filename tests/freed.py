"""What has ended has to be freed by reference counting alone."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_transports", "left_to_the_collector", "no_collector"]

#: Whose objects count: ours, and transports with their buffers.
_OURS = ("wsext", "aiofastnet")


@contextmanager
def no_collector() -> Iterator[None]:
    """No collector for what is made here, and none ever for what was there before.

    And no log, for its records keep exceptions, and these the frames they left.
    """
    logging.disable(logging.CRITICAL)
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
        logging.disable(logging.NOTSET)


def left_to_the_collector() -> list[str]:
    """The kinds of wsext's objects that only the collector would have freed."""
    before = _kinds()
    gc.collect()
    # A simulated world of an earlier test may be freed only now.
    kinds = [kind for kind in before - _kinds() if not kind.startswith("wsext.testing")]
    return sorted(kinds)


def kept_transports() -> list[str]:
    """The TLS transports that are still there: a timer may keep one, with its buffers."""
    names = [type(item).__name__ for item in gc.get_objects()]
    return [name for name in names if name.startswith("SSLTransport")]


def _kinds() -> Counter[str]:
    """How many objects there are of each kind of which the collector knows."""
    kinds = (type(item) for item in gc.get_objects())
    names = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter({name: count for name, count in names.items() if name.startswith(_OURS)})
