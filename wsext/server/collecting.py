"""What the garbage collector need not look at: all that is there before a process serves.

A full collection looks at every object, and nobody is served meanwhile. Modules, classes and the
application are some tens of thousands of objects that stay until the end.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["frozen"]


@contextmanager
def frozen(wanted: bool) -> Iterator[None]:
    """Leave what exists now out of all collections while a block runs.

    What is garbage by then is collected first. It concerns the whole process: only who runs the
    process may decide it.

    Args:
        wanted: Whether to do it; the server option ``gc_freeze``.
    """
    if not wanted or not hasattr(gc, "freeze"):  # not every Python has it
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
