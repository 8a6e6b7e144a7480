"""When a client tries again, and how a used session ends."""

from __future__ import annotations

import asyncio
import math
import random
import ssl
import sys
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

__all__ = ["RETRIED", "Waits", "finish", "is_worth_retrying", "reconnect"]

logger = get_logger("wsext.client")

#: What may come of an attempt to connect; `is_worth_retrying` says of which there is another one.
RETRIED = (OSError, TimeoutError, HandshakeError)

#: Close codes by which a server asks not to be connected to at once, and seconds to stay away.
_BUSY = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)
_BUSY_WAIT = (5.0, 30.0)


class Waits:
    """How long a client waits before each of its attempts, until a connection has lasted.

    Args:
        backoff: What the program wants.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._lasting = backoff.maximum if backoff.lasting is None else backoff.lasting
        self._delays = backoff.delays()
        self._opened: float | None = None

    def note_open(self) -> None:
        """There is a connection."""
        self._opened = asyncio.get_running_loop().time()

    def after_loss(self, info: CloseInfo, since: float) -> float:
        """Seconds to wait after the loss of a connection.

        Args:
            info: How it was lost.
            since: When, by the clock of the event loop.
        """
        opened, self._opened = self._opened, None
        if opened is not None and since - opened >= self._lasting:
            self._delays = self._backoff.delays()
        delay = next(self._delays)
        if (info.remote or (0,))[0] in _BUSY:
            delay = min(delay + random.uniform(*_BUSY_WAIT), self._backoff.maximum)
        return delay

    def after_failure(self, error: Exception, longest: float = math.inf) -> float:
        """Seconds to wait after an attempt that has failed.

        Args:
            error: What came of it. A refusal may ask to wait by ``Retry-After`` (RFC 9110 §10.2.3).
            longest: The longest wait of this side's own; what the server asks for comes on top.
        """
        headers = error.headers if isinstance(error, InvalidStatus) else {}
        named = (value for name, value in headers.items() if name.lower() == "retry-after")
        asked = min(_seconds(next(named, "")), self._backoff.longest_asked)
        return min(next(self._delays), longest) + asked


def _seconds(text: str) -> float:
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


async def reconnect(
    open: Callable[[], Awaitable[Session]], take_fresh: Callable[[], Session | None], waits: Waits
) -> AsyncIterator[Session]:
    """One session after another; see ``async for session in connect(url)``.

    Args:
        open: Opens a session.
        take_fresh: Gives the session that the server has begun instead of resuming the last one.
        waits: The waits between the attempts.
    """
    loop = asyncio.get_running_loop()
    session: Session | None = None
    is_first = True
    try:
        while True:
            while session is None:
                try:
                    session = await open()
                except RETRIED as error:
                    if not is_worth_retrying(error):
                        raise
                    delay = waits.after_failure(error)
                    logger.info("connecting failed (%s); next attempt in %.1f s", error, delay)
                    await asyncio.sleep(delay)
            session.fresh_start, is_first = not is_first, False
            ended = loop.time()

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
            info = session.close_info
            session = take_fresh()
            if session is None:
                await asyncio.sleep(waits.after_loss(info, ended))
    finally:
        fresh = take_fresh()
        if fresh is not None:
            await finish(fresh, sys.exception())


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
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)
