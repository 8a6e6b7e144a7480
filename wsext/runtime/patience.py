"""How long wsext waits for what extensions do together: for their answers while a handshake is
negotiated, and for codecs whose `close` is asynchronous."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Sequence
from typing import Any

from wsext.protocol.boundary import Boundary
from wsext.runtime.settings import WebSocketOptions

__all__ = ["Patience", "close_rest"]


class Patience:
    """Awaits what extensions answer, all of it together for at most some time.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds

    async def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Await one answer.

        It runs in a task of its own: then a cancellation that it raises by itself is told from one
        of whoever waits, and what ignores that it is cancelled is waited for no longer.

        Raises:
            TimeoutError: If there is no time left.
            RuntimeError: If it has cancelled itself, or tried to end the process.
        """
        task = asyncio.ensure_future(_outcome(awaitable))
        try:
            await asyncio.wait({task}, timeout=max(0.0, self._until - self._loop.time()))
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise TimeoutError("did not answer in time")
        if task.cancelled():
            raise RuntimeError("was cancelled by itself")
        value, error = task.result()
        if error is not None:
            raise error
        return value


async def _outcome(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What came of it. asyncio would end the process for `SystemExit` and `KeyboardInterrupt`, and
    complain of an exception that nobody waits for any more."""
    try:
        return await awaitable, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error


async def close_rest(
    left: Sequence[Boundary],
    options: WebSocketOptions,
    before: Awaitable[None] | None = None,
) -> None:
    """Close the codecs whose `close` is asynchronous, all of them at the same time.

    Args:
        left: What `Negotiation.close` or `Pipeline.close` has left.
        options: They get ``codec_timeout`` or ``close_timeout``, whichever is shorter.
        before: What is awaited first: the codecs of an earlier connection.
    """
    if before is not None:
        await before
    if left:
        seconds = min(options.close_timeout, options.codec_timeout or math.inf)
        patience = Patience(seconds)
        await asyncio.gather(*[boundary.aclose(patience.wait) for boundary in left])
