"""What the clients that are measured share: the arguments, and the counting."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from shared import PORT

__all__ = ["MESSAGE", "URL", "Count", "measure"]

URL = f"ws://127.0.0.1:{PORT}/"
MESSAGE = "x" * 64
CONNECTIONS = int(sys.argv[-3])
SECONDS, WARMUP = float(sys.argv[-2]), float(sys.argv[-1])


class Count:
    """How many replies have come."""

    replies = 0


def measure(talk: Callable[[Count], Coroutine[Any, Any, Any]]) -> None:
    """Print messages, seconds, 0 (no poll is counted), and CPU seconds of this process.

    Args:
        talk: Opens a connection and echoes on it until it is cancelled, or leaves it to callbacks.
    """

    async def main() -> None:
        count = Count()
        kept = [asyncio.create_task(talk(count)) for _ in range(CONNECTIONS)]
        await asyncio.sleep(WARMUP)
        replies, began, cpu = count.replies, time.perf_counter(), time.process_time()
        await asyncio.sleep(SECONDS)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        if count.replies == replies:
            raise SystemExit("no reply")
        print(count.replies - replies, took, 0, used, flush=True)
        del kept
        sys.stdout.close()
        os._exit(0)  # nobody waits for the closing of connections

    uvloop.run(main())
