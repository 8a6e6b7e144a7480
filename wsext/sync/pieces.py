"""How a message is sent in fragments that are made in one thread, by the event loop of another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from anyio import BrokenResourceError, create_memory_object_stream

from wsext.protocol.frames import Data
from wsext.runtime.portal import Lease
from wsext.runtime.session import Session

__all__ = ["Mapped", "send_pieces"]

#: Hints or metadata of a message.
Mapped: TypeAlias = "Mapping[str, Any] | None"


def send_pieces(
    lease: Lease,
    session: Session,
    pieces: Iterable[Data],
    hints: Mapped,
    meta: Mapped,
    seconds: float | None,
) -> None:
    """Send a message in fragments; each is made when the one before it is on its way.

    If they cannot be made to the end, the connection fails, as by a cancelled `Session.send`.

    Args:
        lease: Runs the event loop of the session.
        session: The session.
        pieces: The fragments.
        hints, meta: As for `Session.send`.
        seconds: How long each of them may wait.

    Raises:
        ConnectionClosed, TimeoutError, TypeError: As `BlockingSession.send`.
        Exception: What the iterable raises.
    """
    put, take = create_memory_object_stream[Data]()

    async def send() -> None:
        with take:
            await session.send(take, hints=hints, meta=meta)

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(send())

    async def end() -> None:
        put.close()
        await sending

    async def give_up() -> None:
        put.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    sending = lease.run(None, begin)
    try:
        with suppress(BrokenResourceError):  # sending has failed, and `end` raises why
            for piece in pieces:
                lease.run(seconds, put.send, piece)
        lease.run(seconds, end)
    except BaseException:
        lease.run(None, give_up)
        raise
