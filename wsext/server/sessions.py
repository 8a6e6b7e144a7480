"""One accepted handshake on its way through a route's handler, to the end of the session."""

from __future__ import annotations

import asyncio
import inspect
import logging

from wsext.app.application import App
from wsext.app.routing import Route
from wsext.errors import ConnectionClosed
from wsext.protocol.closing import CloseCode
from wsext.runtime.drive import Drive
from wsext.runtime.session import Listener, Session

__all__ = ["run_session"]

logger = logging.getLogger("wsext.server")


async def run_session(
    session: Session, route: Route, app: App, transport: asyncio.Transport, rest: bytes
) -> None:
    """Start a session, run its handler, and end the session as the handler's outcome says.

    Args:
        session: Its handshake has been accepted.
        route: Whose handler it gets.
        app: Maps what the handler raises to a close code.
        transport: The session takes it over.
        rest: What came with the handshake: the first frames.
    """
    try:
        if inspect.isclass(route.handler) and issubclass(route.handler, Listener):
            await _run_listener(session, route, app, transport, rest)
        else:
            session.start(transport, rest)
            await _run_coroutine(session, route, app)
    except BaseException:
        transport.abort()
        raise
    finally:
        await session.cancel_tasks()


async def _run_listener(
    session: Session, route: Route, app: App, transport: asyncio.Transport, rest: bytes
) -> None:
    try:
        listener: Listener = route.handler()
    except Exception as error:
        session.start(transport, rest)
        await session.close(*_failed(session, route, app, error))
        return
    session.start(transport, rest, listener)
    await session.wait_closed()


async def _run_coroutine(session: Session, route: Route, app: App) -> None:
    code, reason = int(CloseCode.NORMAL), ""
    try:
        work = route.handler(session, **session.path_params)
        await (Drive(work) if inspect.iscoroutine(work) else work)
    except ConnectionClosed as error:
        logger.debug("session %s: %s", session.id, error)
    except Exception as error:
        code, reason = _failed(session, route, app, error)
    if route.kind == "raw":
        session.end_raw()
        await session.wait_closed()
    else:
        await session.close(code, reason)


def _failed(session: Session, route: Route, app: App, error: Exception) -> tuple[int, str]:
    """Record and log what a handler raised, once; code and reason to close with."""
    code, reason, planned = app.close_for(error)
    session.set_failure(error)
    if planned:
        logger.info("session %s: %s: %s", session.id, type(error).__name__, error)
    else:
        logger.error("session %s: handler of %s failed", session.id, route.path, exc_info=error)
    return code, reason
