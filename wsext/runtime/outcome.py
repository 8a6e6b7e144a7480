"""What a failure ends a session with, and what is raised once it has ended."""

from __future__ import annotations

from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ProtocolError,
)
from wsext.protocol.closing import CloseCode, build_failure, parse_close

__all__ = ["Outcome", "closed_error", "forget_frames", "usual_outcome"]

#: What a failure ends a session with: the close code, the reason, and whether it was planned.
Outcome = tuple[int, str, bool]


def usual_outcome(error: BaseException) -> Outcome:
    """How a failure ends a session where no application says anything else."""
    if isinstance(error, ProtocolError):
        code, reason = parse_close(build_failure(error.code, error.reason))
        return code, reason, code == error.code
    return CloseCode.INTERNAL_ERROR, "internal error", False


def closed_error(info: CloseInfo) -> ConnectionClosed:
    """What is raised once a session has ended."""
    planned = info.code in (1000, 1001, 1005) and info.exception is None
    return (ConnectionClosedOK if planned else ConnectionClosedError)(info)


def forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an exception that was logged: their frames refer to the session."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
