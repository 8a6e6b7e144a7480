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
from wsext.inspector.frames import FrameSeen, preview
from wsext.inspector.register import traffic_of

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
        end_trace = session.trace(
            lambda direction, stage, frame: _report(feed, session, direction, stage, frame)
        )
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
        "subprotocol": session.subprotocol,
        "extensions": [{"name": item.name, "params": str(item)} for item in session.extensions],
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


def _report(feed: Session, session: Session, direction: str, stage: str, frame: Frame) -> None:
    if stage not in ("wire", "app"):
        return
    seen = FrameSeen.of(frame, 0, direction, stage, preview(frame, stage))
    _tell(feed, {"type": "frame", **msgspec.structs.asdict(seen)})
    last_stage = "app" if direction == "in" else "wire"
    if stage == last_stage and frame.fin and not frame.is_control:
        _tell(feed, _totals(session))


def _totals(session: Session) -> dict[str, Any]:
    incoming, outgoing = traffic_of(session)
    return {"type": "totals", "in": incoming, "out": outgoing}
