"""What the live page knows of sessions: those now, how the last ones ended, and totals."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from wsext import CloseInfo, Held, Session

__all__ = ["Closed", "Offered", "Register", "Row", "Traffic", "traffic_of"]

#: Sessions in the page's table, and ended ones that are remembered.
_MAX_ROWS = 200
_MAX_CLOSED = 100

#: Sessions that are added up per second, at most: adding up many is done less often.
_ADDED_PER_SECOND = 5000


class Traffic(Struct):
    """Data messages of one way; bytes of payload."""

    messages: int = 0
    app: int = 0
    wire: int = 0

    def add(self, other: Traffic) -> None:
        """Add to this."""
        self.messages += other.messages
        self.app += other.app
        self.wire += other.wire


class Offered(Struct):
    """One extension offer with its verdict and the reason."""

    offer: str
    verdict: str
    reason: str


class Row(Struct):
    """One session now. Times in seconds, latency in milliseconds, ``held`` in bytes (see `Held`).

    The path is without its query, which may hold secrets. ``connected`` says whether it has a
    connection just now, ``resumptions`` how often it went on with another one.
    """

    id: str
    name: str
    path: str
    remote: str
    subprotocol: str | None
    extensions: list[str]
    age: float
    latency: float | None
    connected: bool
    resumptions: int
    held: dict[str, int]
    incoming: Traffic
    outgoing: Traffic


class Closed(Struct):
    """How a session ended. ``by`` is who sent the first Close frame, or nobody."""

    number: int
    id: str
    path: str
    code: int
    reason: str
    by: str
    clean: bool
    error: str | None
    seconds: float
    messages: int


class Register:
    """The sessions of one app, without those of the page itself.

    Attributes:
        payload: Whether payloads may be shown.
        pages: Pages that are open.
        installed: What the app has installed.
        detached: The ids of the sessions without a connection.
        resumptions: How often sessions have gone on with another connection.
    """

    def __init__(self, own_path: str, payload: bool) -> None:
        self.payload = payload
        self.pages = 0
        self.installed: Any = None
        self.started = time.monotonic()
        self._own_path = own_path
        self._open: dict[str, tuple[Session, float]] = {}
        self._closed: deque[Closed] = deque(maxlen=_MAX_CLOSED)
        self._ended = (Traffic(), Traffic())
        self._sum = (0.0, Traffic(), Traffic())
        self.codes: Counter[int] = Counter()
        self.number = 0  # of sessions that have ended
        self.detached: set[str] = set()
        self.resumptions = 0

    def __len__(self) -> int:
        return len(self._open)

    def get(self, id: str | None) -> Session | None:
        """A session that is open."""
        return self._open[id][0] if id in self._open else None

    def opened(self, session: Session) -> None:
        """A session has opened."""
        if session.request.path != self._own_path:
            self._open[session.id] = session, time.monotonic()

    def lost(self, session: Session) -> None:
        """A session has no connection any more, and waits for another one."""
        if session.id in self._open:
            self.detached.add(session.id)

    def resumed(self, session: Session) -> None:
        """A session goes on."""
        self.detached.discard(session.id)
        self.resumptions += 1

    def closed(self, session: Session, info: CloseInfo) -> None:
        """A session has ended."""
        self.detached.discard(session.id)
        _, since = self._open.pop(session.id, (None, 0.0))
        if not since:
            return
        incoming, outgoing = traffic_of(session)
        for total, part in zip(self._ended, (incoming, outgoing), strict=True):
            total.add(part)
        self.number += 1
        self.codes[info.code] += 1
        self._closed.append(
            Closed(
                self.number,
                session.id,
                session.request.path[:200],
                info.code,
                info.reason,
                _who(info),
                info.clean,
                type(info.exception).__name__ if info.exception else None,
                time.monotonic() - since,
                incoming.messages + outgoing.messages,
            )
        )

    def closed_after(self, number: int) -> list[Closed]:
        """The remembered ends after the one with a number."""
        return [closed for closed in self._closed if closed.number > number]

    def rows(self, first: str | None) -> Iterator[Row]:
        """The newest sessions, and the one that is watched before them."""
        chosen = self._open.get(first or "")
        if chosen is not None:
            yield _row(*chosen)
        for session, since in islice(reversed(self._open.values()), _MAX_ROWS):
            if session.id != first:
                yield _row(session, since)

    def totals(self) -> tuple[float, Traffic, Traffic]:
        """When it was counted, and all that has come in and gone out since the start."""
        now = time.monotonic()
        if now - self._sum[0] > len(self._open) / _ADDED_PER_SECOND:
            incoming, outgoing = Traffic(), Traffic()
            parts = [self._ended, *(traffic_of(session) for session, _ in self._open.values())]
            for part_in, part_out in parts:
                incoming.add(part_in)
                outgoing.add(part_out)
            self._sum = now, incoming, outgoing
        return self._sum


def traffic_of(session: Session) -> tuple[Traffic, Traffic]:
    """What has come in on a session, and what has gone out."""
    stats = session.stats
    return (
        Traffic(stats.messages_in, stats.app_bytes_in, stats.wire_bytes_in),
        Traffic(stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out),
    )


def _row(session: Session, since: float) -> Row:
    incoming, outgoing = traffic_of(session)
    latency = session.latency
    return Row(
        session.id,
        session.name[:100],
        session.request.path[:200],
        session.request.remote or "",
        session.subprotocol,
        [agreed.name for agreed in session.extensions],
        time.monotonic() - since,
        None if latency is None else latency * 1000,
        session.connected,
        session.resumptions,
        {name: count for name, count in Held.of(session)._asdict().items() if count},
        incoming,
        outgoing,
    )


def _who(info: CloseInfo) -> str:
    if info.local is None and info.remote is None:
        return "nobody"
    return "server" if info.local_first else "client"
