"""When a session is opened again after one has ended, and how a used session ends."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime

from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    HandshakeError,
    InvalidHandshake,
    InvalidStatus,
)
from wsext.escape import get_logger
from wsext.protocol.closing import CloseCode
from wsext.runtime.backoff import Backoff
from wsext.runtime.life import life_of
from wsext.runtime.session import Session

__all__ = ["finish", "is_worth_retrying", "reconnect"]

logger = get_logger("wsext.client")

#: Close codes by which a server asks not to be connected to at once, and seconds to stay away.
_BUSY = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)
_BUSY_WAIT = (5.0, 30.0)


async def reconnect(
    open: Callable[[], Awaitable[Session]], backoff: Backoff
) -> AsyncIterator[Session]:
    """One session after another; see ``async for session in connect(url)``.

    Args:
        open: Opens a session.
        backoff: The waits between the attempts; they begin anew after a session that has lasted.
    """
    loop = asyncio.get_running_loop()
    lasting = backoff.maximum if backoff.lasting is None else backoff.lasting
    delays = backoff.delays()
    while True:
        try:
            session = await open()
        except (OSError, TimeoutError, HandshakeError) as error:
            if not is_worth_retrying(error):
                raise
            delay = next(delays) + min(_asked_by(error), backoff.longest_asked)
            logger.info("connecting failed (%s); next attempt in %.1f s", error, delay)
            await asyncio.sleep(delay)
            continue
        opened = ended = loop.time()

        def note_end(info: CloseInfo) -> None:
            nonlocal ended
            ended = loop.time()

        life_of(session).add_callback(note_end)
        session._inbox.quiet = True
        try:
            yield session
        except BaseException as error:
            await finish(session, error)
            raise
        await finish(session, None)
        if ended - opened >= lasting:  # a server that accepts and drops is not hammered either
            delays = backoff.delays()
        delay = next(delays)
        if (session.close_info.remote or (0,))[0] in _BUSY:
            delay = min(delay + random.uniform(*_BUSY_WAIT), backoff.maximum)
        await asyncio.sleep(delay)


def _asked_by(error: Exception) -> float:
    """The seconds that a refusal asks to wait by ``Retry-After`` (RFC 9110 §10.2.3)."""
    headers = error.headers if isinstance(error, InvalidStatus) else {}
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


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
        return error.status >= 500 or error.status in (408, 429)
    if isinstance(error, InvalidHandshake):
        return error.cut_off
    return not isinstance(error, (HandshakeError, ssl.SSLCertVerificationError))
