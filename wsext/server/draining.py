"""How a server ends without losing what it has accepted.

What has been received is handled first: nothing more is read, and handlers get a quarter of the
time to wait for the next message again. So what one session has been told to pass on reaches those
that read. Then sessions are closed, and whoever came last is told that the server is going down.

A session without a connection gets its Close frame when its client comes back for it, with what was
sent before (``drain_detached``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from wsext.runtime.life import life_of
from wsext.server.connections import Connections
from wsext.server.listening import Listening

__all__ = ["drain", "wait_for_handshakes"]

#: Seconds between two looks at something that is waited for: draining is rare.
_LOOK_EVERY = 0.01

#: Seconds that connections which are being answered get at the very end.
_LAST_ANSWERS = 1.0

#: Seconds that peers get to read why a session failed whose codec did not end.
_LAST_CLOSES = 0.5

#: Seconds that accepted connections get to become sessions when another process takes over.
_LAST_HANDSHAKES = 2.0


async def drain(
    connections: Connections, listening: Listening, seconds: float, code: int, reason: str
) -> None:
    """Close all sessions and wait for them, abort the rest, and listen no more.

    Args:
        connections: Whose sessions are closed.
        listening: Listens until the sessions have ended, so that new clients are told.
        seconds: How long sessions get to end.
        code, reason: What they are closed with.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    await _settle(connections, seconds / 4)
    for session in connections.ordered_sessions:
        session.close_nowait(code, reason)
        life_of(session).end_receiving()
        if not (session.connected or connections.app.server_options.drain_detached):
            session.abort()
    await connections.wait_idle(until - loop.time())
    if any([life_of(session).link.fail_codec() for session in connections.ordered_sessions]):
        await connections.wait_idle(_LAST_CLOSES)
    listening.close()
    await _wait(lambda: not connections.is_answering, min(until - loop.time(), _LAST_ANSWERS))
    await connections.abort_rest()


async def _settle(connections: Connections, seconds: float) -> None:
    """Let handlers and rooms deal with what has been received."""
    for connection in connections.connections:
        connection.drain()
    for session in connections.ordered_sessions:
        session.hold_reading(seconds)
    await _wait(
        lambda: all(life_of(session).is_idle for session in connections.ordered_sessions), seconds
    )
    if seconds > 0:  # what was said in rooms before gets to members that read
        with suppress(TimeoutError):
            await asyncio.wait_for(connections.app.hub.flush(), seconds)


async def wait_for_handshakes(connections: Connections) -> None:
    """Wait until every connection has had its handshake answered, for some time."""
    limit = min(connections.app.server_options.handshake_timeout, _LAST_HANDSHAKES)
    await _wait(lambda: not connections.is_undecided, limit)


async def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, at most some seconds."""
    until = asyncio.get_running_loop().time() + seconds
    while not condition() and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY)
