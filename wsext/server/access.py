"""The access log: one record per answered request, and one per session that ended.

The records go to the logger ``wsext.access``. Each says the same twice: as a sentence, and in its
attribute ``fields`` as a dictionary, which `JSONFormatter` writes beside it. Query strings are
left out, for tokens travel in them. Who comes by a Unix socket, and is no trusted proxy that names
its client, has the address ``unix``.
"""

from __future__ import annotations

import logging
from typing import Any

from wsext.escape import escape, get_logger
from wsext.protocol.http import Request
from wsext.runtime.session import Session

__all__ = ["log_answer", "log_end"]

logger = get_logger("wsext.access")
server_logger = get_logger("wsext.server")


def log_answer(request: Request | None, status: int) -> None:
    """Log how a request was answered; ``None`` was malformed.

    Why it was refused (`Request.refused`) stands behind it, or is a warning without an access log.
    """
    refused = "" if request is None else request.refused
    if not logger.isEnabledFor(logging.INFO):
        if refused:
            server_logger.warning("%s", refused)
        return
    if request is None:
        _log(f"malformed request -> {status}", {"event": "request", "status": status})
        return
    remote, path = _where(request)
    _log(
        f"{remote} {request.method} {path} {request.version} -> {status}"
        + (f": {refused}" if refused else ""),
        {
            "event": "request",
            "remote": remote,
            "method": request.method,
            "path": path,
            "version": request.version,
            "route": request.route,
            "status": status,
            **({"reason": refused} if refused else {}),
        },
        logging.WARNING if refused else logging.INFO,
    )


def log_end(session: Session, seconds: float) -> None:
    """Log the end of a session.

    Args:
        session: It has ended.
        seconds: How long it was connected.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    info, stats = session.close_info, session.stats
    remote, path = _where(session.request)
    _log(
        f"{remote} {path} ended with {info.code} after {seconds:.3f} s,"
        f" {stats.messages_in} messages in, {stats.messages_out} out",
        {
            "event": "session",
            "session": session.id,
            "remote": remote,
            "path": path,
            "route": session.request.route,
            "subprotocol": session.subprotocol,
            "extensions": [agreed.name for agreed in session.extensions],
            "duration": round(seconds, 3),
            "code": info.code,
            "clean": info.clean,
            "messages_in": stats.messages_in,
            "messages_out": stats.messages_out,
            "bytes_in": stats.app_bytes_in,
            "bytes_out": stats.app_bytes_out,
            "wire_bytes_in": stats.wire_bytes_in,
            "wire_bytes_out": stats.wire_bytes_out,
        },
    )


def _where(request: Request) -> tuple[str, str]:
    """The client's address, and the path as it was sent, without the query."""
    return request.remote or "unix", request.target.partition("?")[0]


def _log(text: str, fields: dict[str, Any], level: int = logging.INFO) -> None:
    shown = {
        name: escape(value) if isinstance(value, str) else value for name, value in fields.items()
    }
    logger.log(level, "%s", text, extra={"fields": shown})
