"""What the Python servers share: the port of the command line, the message limit, uvloop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 0
VARIANT = sys.argv[2] if len(sys.argv) > 2 else ""
LARGEST = 1 << 25


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run until killed, on uvloop."""
    import uvloop

    async def forever() -> None:
        kept = await main()
        await asyncio.get_running_loop().create_future()
        del kept

    uvloop.run(forever())
