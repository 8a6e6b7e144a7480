"""What the live page knows of sessions: those now, the last ones that ended, their last frames,
and totals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from wsext import CloseInfo, Session
from wsext.inspector.frames import Recorder
from wsext.inspector.history import History, Sample
from wsext.inspector.rows import End, Row, Traffic, View, held_by, row_of, traffic_of

__all__ = ["Description", "Offered", "Past", "Register"]

#: Sessions in the page's table, ended ones that are remembered, and sessions that are recorded.
_MAX_ROWS = 200
_MAX_PAST = 100
_MAX_RECORDED = 200

#: Sessions that are looked at per second, at most: if there are many, it is done less often.
_LOOKS_PER_SECOND = 5000


class Offered(Struct):
    """One extension offer with its verdict and the reason."""

    offer: str
    verdict: str
    reason: str


class Description(Struct):
    """How a session came about."""

    path: str
    origin: str
    agent: str
    header: str
    stages: list[str]
    offers: list[Offered]

    @classmethod
    def of(cls, session: Session) -> Description:
        """The description of a session; it does not change."""
        request = session.request
        return cls(
            request.path[:2000],
            (request.origin or "")[:200],
            " ".join(request.headers.get_all("User-Agent"))[:200],
            session.negotiation.header or "",
            ["app", *(agreed.name for agreed in session.extensions), "wire"],
            [
                Offered(str(record.offer)[:300], record.verdict.value, record.reason[:300])
                for record in session.negotiation.records
            ],
        )


class Past(NamedTuple):
    """A session that has ended: as it was, and its last frames if a page was open."""

    row: Row
    description: Description
    recorder: Recorder | None


class Register:
    """The sessions of one app, without wsext's own.

    While a page is open, the last frames of the newest sessions are recorded, so that they are
    there when somebody looks at a session, also after its end. Otherwise frames cost nothing.

    Args:
        hidden: Beginnings of the paths whose sessions are left out.
        payload: Whether payloads may be shown.

    Attributes:
        payload: Whether payloads may be shown.
        pages: Pages that are open.
        installed: What the app has installed.
        detached: The ids of the sessions without a connection.
        resumptions: How often sessions have gone on with another connection.
        history: The totals over time.
        codes: How often sessions ended with which code.
    """

    def __init__(self, hidden: Iterable[str], payload: bool) -> None:
        self.payload = payload
        self.pages = 0
        self.installed: Any = None
        self.started = time.monotonic()
        self.history = History(self.started)
        self.codes: Counter[int] = Counter()
        self.detached: set[str] = set()
        self.resumptions = 0
        self._hidden = tuple(hidden)
        self._open: dict[str, tuple[Session, float]] = {}
        self._past: dict[str, Past] = {}
        self._recorders: dict[str, Recorder] = {}
        self._ended = (Traffic(), Traffic())
        self._sum = Sample(0.0, Traffic(), Traffic())

    def __len__(self) -> int:
        return len(self._open)

    # --- what happens to sessions -------------------------------------------------------------

    def opened(self, session: Session) -> None:
        """A session has opened."""
        if session.request.path.startswith(self._hidden):
            return
        self._open[session.id] = session, time.monotonic()
        if self.pages:
            self._record(session)

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
        row = row_of(session, since)
        row.end, row.connected, row.latency = End.of(info), False, None
        for total, part in zip(self._ended, (row.incoming, row.outgoing), strict=True):
            total.add(part)
        self.codes[info.code] += 1
        recorder = self._recorders.pop(session.id, None)
        if recorder is not None:
            recorder.end()
        self._past[session.id] = Past(row, Description.of(session), recorder)
        if len(self._past) > _MAX_PAST:
            del self._past[next(iter(self._past))]

    # --- pages and their recorders ------------------------------------------------------------

    def page_opened(self) -> None:
        """A page looks: from now on the last frames are recorded."""
        self.pages += 1
        if self.pages == 1:
            newest = islice(reversed(self._open.values()), _MAX_RECORDED)
            for session, _ in reversed(list(newest)):
                self._record(session)

    def page_closed(self) -> None:
        """A page looks no more."""
        self.pages -= 1
        if not self.pages:
            for recorder in self._recorders.values():
                recorder.end()
            self._recorders.clear()

    def find(self, id: str | None) -> tuple[Description, Recorder | None] | None:
        """How a session came about, and its recorder; ``None`` if it is not known (any more)."""
        if id in self._past:
            past = self._past[id]
            return past.description, past.recorder
        if id not in self._open:
            return None
        session, _ = self._open[id]
        return Description.of(session), self._recorders.get(id) or self._record(session)

    def _record(self, session: Session) -> Recorder:
        if len(self._recorders) >= _MAX_RECORDED:
            oldest = next(id for id, each in self._recorders.items() if not each.watchers)
            self._recorders.pop(oldest).end()
        recorder = self._recorders[session.id] = Recorder(session, self.payload)
        return recorder

    # --- what a page shows --------------------------------------------------------------------

    @property
    def pause(self) -> float:
        """Seconds between two looks at all sessions."""
        return len(self._open) / _LOOKS_PER_SECOND

    def row(self, id: str | None) -> Row | None:
        """A session as it is now, or as it ended; ``None`` if it is not known (any more)."""
        if id in self._past:
            return self._past[id].row
        if id not in self._open:
            return None
        session, since = self._open[id]
        row = row_of(session, since)
        row.held = held_by(session)
        return row

    def pick(self, view: View) -> tuple[list[str], int]:
        """The ids of the sessions that a page shows, those that have ended last, and how many
        sessions of these there are now."""
        ended = [row.id for row in view.of(past.row for past in reversed(self._past.values()))]
        if view.takes_newest:
            return [*islice(reversed(self._open), _MAX_ROWS), *ended], len(self._open)
        rows = view.of(row_of(*each) for each in reversed(self._open.values()))
        return [*(row.id for row in rows[:_MAX_ROWS]), *ended], len(rows)

    def totals(self) -> Sample:
        """When it was counted, and all that has come in and gone out since the start."""
        now = time.monotonic()
        if now - self._sum.time > self.pause:
            incoming, outgoing = Traffic(), Traffic()
            parts = [self._ended, *(traffic_of(session) for session, _ in self._open.values())]
            for part_in, part_out in parts:
                incoming.add(part_in)
                outgoing.add(part_out)
            self._sum = Sample(now, incoming, outgoing)
            self.history.add(self._sum)
        return self._sum
