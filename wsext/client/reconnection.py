"""When a session is opened again after one has ended, and how a used session ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from wsext.errors import ConnectionClosed, HandshakeError, InvalidHandshake, InvalidStatus
from wsext.protocol.closing import CloseCode
from wsext.runtime.backoff import Backoff
from wsext.runtime.life import life_of
from wsext.runtime.session import Session

__all__ = ["finish", "is_worth_retrying", "reconnect"]

logger = logging.getLogger("wsext.client")


async def reconnect(
    open: Callable[[], Awaitable[Session]], backoff: Backoff
) -> AsyncIterator[Session]:
    """One session after another; see ``async for session in connect(url)``.

    Args:
        open: Opens a session.
        backoff: The waits between the attempts; they begin anew after a success.
    """
    delays = backoff.delays()
    while True:
        try:
            session = await open()
        except (OSError, TimeoutError, HandshakeError) as error:
            if not is_worth_retrying(error):
                raise
            delay = next(delays)
            logger.info("connecting failed (%s); next attempt in %.1f s", error, delay)
            await asyncio.sleep(delay)
            continue
        delays = backoff.delays()
        session._inbox.quiet = True
        try:
            yield session
        except BaseException as error:
            await finish(session, error)
            raise
        await finish(session, None)
        # A server that accepts and drops must not be hammered either.
        await asyncio.sleep(next(delays))


async def finish(session: Session, error: BaseException | None) -> None:
    """Close a session whose block has ended, as the block's outcome says.

    Args:
        session: The session.
        error: What ended the block; ``None`` if it ran to its end.
    """
    try:
        if isinstance(error, asyncio.CancelledError):
            session.abort()
        elif error is None or isinstance(error, (ConnectionClosed, GeneratorExit)):
            await session.close()
        else:
            life_of(session).set_failure(error)
            await session.close(CloseCode.INTERNAL_ERROR, "client failed")
        carrier = life_of(session).carrier
        if carrier is not None:
            await carrier.gone
    finally:
        await life_of(session).release()


def is_worth_retrying(error: Exception) -> bool:
    """Whether another attempt may succeed where one has failed."""
    if isinstance(error, InvalidStatus):
        return error.status >= 500 or error.status == 429
    if isinstance(error, InvalidHandshake):
        return error.cut_off
    return not isinstance(error, (HandshakeError, ssl.SSLCertVerificationError))
