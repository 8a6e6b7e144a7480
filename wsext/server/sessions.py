"""One accepted handshake on its way through a route's handler, to the end of the session."""

from __future__ import annotations

import asyncio
import inspect

from wsext.app.routing import Route
from wsext.runtime.life import life_of
from wsext.runtime.session import Listener, Session

__all__ = ["run_session"]


async def run_session(
    session: Session, route: Route, transport: asyncio.Transport, rest: bytes
) -> None:
    """Start a session, run its handler, and wait until both have ended.

    Args:
        session: Its handshake has been accepted.
        route: Whose handler it gets.
        transport: The session takes it over.
        rest: What came with the handshake: the first frames.
    """
    life = life_of(session)
    try:
        if inspect.isclass(route.handler) and issubclass(route.handler, Listener):
            life.start(transport, rest, route.handler)
            await session.wait_closed()
        else:
            life.start(transport, rest)
            await life.run(route.handler, session, **session.path_params)
    except BaseException:
        transport.abort()
        raise
    finally:
        await life.release()
