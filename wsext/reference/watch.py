"""Tells a page about the frames of its own session, over a second one.

The page makes a random token, opens ``/frames/TOKEN``, and then its session with
``?watch=TOKEN``. Who does not know the token sees nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from wsext import Frame, QueueFull, RemoteProtocolError, Session
from wsext.errors import ConnectionClosed
from wsext.inspector.frames import FrameFollower
from wsext.inspector.rows import traffic_of
from wsext.reference.explain import explain

__all__ = ["Watchers"]


class Watchers:
    """Who wants to be told about which session."""

    def __init__(self) -> None:
        self._feeds: dict[str, Session] = {}

    @contextmanager
    def listening(self, token: str, feed: Session) -> Iterator[None]:
        """Register a feed for a token while the block runs; the first one keeps the token."""
        if token in self._feeds:
            raise RemoteProtocolError(1008, "another page has this token")
        self._feeds[token] = feed
        try:
            yield
        finally:
            del self._feeds[token]

    @contextmanager
    def watching(self, session: Session) -> Iterator[None]:
        """Report a session to the feed that its ``watch`` parameter names, if there is one."""
        feed = self._feeds.get(session.request.query.get("watch", ""))
        if feed is None:
            yield
            return
        _tell(feed, _opening(session))
        follower = FrameFollower()

        def report(direction: str, stage: str, frame: Frame) -> None:
            step = follower.step(direction, stage, frame)
            _tell(feed, {"type": "frame", **msgspec.structs.asdict(step.seen())})
            if step.is_last and frame.fin and not frame.is_control:
                _tell(feed, _totals(session))

        end_trace = session.trace(report)
        try:
            yield
        finally:
            end_trace()
            info = session.close_info
            _tell(feed, {"type": "closed", "code": info.code, "reason": info.reason})


def _tell(feed: Session, event: dict[str, Any]) -> None:
    # A feed that lags misses events rather than slow the session down.
    with suppress(QueueFull, ConnectionClosed):
        feed.send_nowait(msgspec.json.encode(event).decode())


def _opening(session: Session) -> dict[str, Any]:
    return {
        "type": "session",
        "path": session.request.path,
        "name": session.name,
        "subprotocol": session.subprotocol,
        "extensions": [explain(agreed) for agreed in session.extensions],
        "negotiation": [
            {
                "name": record.offer.name,
                "params": str(record.offer.params),
                "verdict": record.verdict.value,
                "reason": record.reason,
            }
            for record in session.negotiation.records
        ],
    }


def _totals(session: Session) -> dict[str, Any]:
    incoming, outgoing = traffic_of(session)
    return {"type": "totals", "in": incoming, "out": outgoing}
