"""What does a task wait for?"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from types import CodeType
from typing import Any

__all__ = ["describe_task"]


def describe_task(task: asyncio.Task[Any], futures: Mapping[Any, str] | None = None) -> str:
    """A task, the calls that it is in, and what the innermost one waits for.

    Args:
        task: The task.
        futures: Where futures were made, if that is known.
    """
    lines = [f"task {task.get_name()!r} waits:"]
    waiting: Any = task.get_coro()
    for _ in range(50):
        code, line, inner = _look(waiting)
        if code is None:
            break
        lines.append(f"    in {code.co_qualname} ({code.co_filename}:{line})")
        waiting = inner
    if waiting is not None:
        for inner in gc.get_referents(waiting):  # the iterator of a future
            waiting = inner if isinstance(inner, asyncio.Future) else waiting
        made = (futures or {}).get(waiting) if isinstance(waiting, asyncio.Future) else None
        what = _name(waiting)
        lines.append(f"    for {what}" + (f" made at {made}" if made else ""))
    return "\n".join(lines)


def _look(awaitable: Any) -> tuple[CodeType | None, int, Any]:
    """The code of a coroutine or generator, its current line, and what it waits for."""
    for kind in ("cr", "gi", "ag"):
        code = getattr(awaitable, f"{kind}_code", None)
        if code is None:
            continue
        frame = getattr(awaitable, f"{kind}_frame", None)
        inner = getattr(awaitable, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
        return code, frame.f_lineno if frame else 0, inner
    # Something that wraps a coroutine, and may be written in C.
    for inner in gc.get_referents(awaitable):
        if any(getattr(inner, f"{kind}_frame", None) for kind in ("cr", "ag", "gi")):
            return _look(inner)
    return None, 0, None


def _name(waiting: Any) -> str:
    if isinstance(waiting, asyncio.Task):
        return f"the task {waiting.get_name()!r}"
    if isinstance(waiting, asyncio.Future):
        return "a future"
    return f"a {type(waiting).__qualname__}"
