"""What one session may do, looked at once a second: who sends too much, who takes nothing.

Nothing here runs per message: sessions count for themselves, and the counters are compared. Who has
said nothing is not looked at. Some of the others are looked at now and some a little later: all at
once would let every message wait.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any, NamedTuple

from wsext.errors import RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.runtime.life import Life, life_of
from wsext.runtime.rates import Bucket
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed

__all__ = ["Sweep"]

#: Seconds of a round, in which each session is looked at once.
_EVERY = 1.0

#: Sessions that are looked at in one go, which takes some hundredths of a millisecond. If more than
#: 1,600 are active it is more of them, so that it is not done more often than every `_PAUSE`
#: seconds.
_AT_ONCE = 8
_PAUSE = 0.005

#: Seconds' worth of frames or pings that may come at once.
_BURST = 2.0


class Progress(NamedTuple):
    """What a session has done so far, by the counters that limits are about.

    Attributes:
        frames: Frames of every kind received.
        pings: Pings received.
        waiting: Bytes that wait for the peer to read while nothing more is written; else 0.
        resumed: How often the peer has made room for more to be written.
    """

    frames: int
    pings: int
    waiting: int
    resumed: int

    @classmethod
    def of(cls, life: Life) -> Progress:
        """What a session has done, by its life."""
        link = life.link
        connection = link.connection
        stuck = link.stuck_bytes
        if life.journal is not None and life.journal.is_full and life.is_connected:
            stuck = stuck or life.outbox_bytes
        return cls(connection.frames_in, connection.pings_in, stuck, link.resumed)


_NOTHING = Progress(0, 0, 0, 0)


class _Seen:
    """What a session had done when it was last looked at."""

    __slots__ = ("frames", "pings", "progress", "since", "told")

    def __init__(self, now: float) -> None:
        self.frames: Bucket | None = None
        self.pings: Bucket | None = None
        self.progress = _NOTHING
        self.since = now  # since when the peer has taken nothing
        self.told = False  # whether the log was told that it is read more slowly


class Sweep:
    """Looks at every session once a second: who sends too much, who takes nothing, who is gone.

    Args:
        timers: What runs it.
        installed: Whose hooks are told of the limits that are reached.
        logger: Where they are logged.
    """

    def __init__(self, timers: Timers, installed: Installed, logger: logging.Logger) -> None:
        self._timers = timers
        self._installed = installed
        self._logger = logger
        self._seen: dict[Session, _Seen | None] = {}
        self._active: dict[Session, None] = {}  # what is looked at in the next round
        self._round: dict[Session, None] = {}  # what is still looked at in this one
        self._at_once = 0
        self._pause = _EVERY
        self._next_round = 0.0
        self._timer: Any = None

    def add(self, session: Session) -> None:
        """Look at a session from now on."""
        self._seen[session] = None
        self._active[session] = None
        life_of(session).link.watch(self._active)
        if self._timer is None:
            self._wait(_EVERY)

    def remove(self, session: Session) -> None:
        """Look at it no more."""
        life_of(session).link.watch(None)
        for where in (self._seen, self._active, self._round):
            where.pop(session, None)

    def stop(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = self._timers.call_later(seconds, self._look)

    def _look(self) -> None:
        """Look at those whose turn it is, and be back in time for the others."""
        self._timer = None
        now = self._timers.time()
        if not self._round:
            if now < self._next_round:  # some have ended whose turn it would have been
                self._wait(self._next_round - now)
                return
            self._begin_round(now)
        if self._seen:
            self._wait(self._pause)
        carriers: set[Any] = set()  # HTTP/2: one look is enough for what carries several of them
        for session in list(islice(self._round, self._at_once)):
            if session in self._round:  # a hook that was told of another one may have ended it
                del self._round[session]
                self._look_at(session, now, carriers)

    def _begin_round(self, now: float) -> None:
        self._next_round = now + _EVERY
        self._round.update(self._active)
        self._active.clear()
        count = len(self._round)
        goes = max(min(-(-count // _AT_ONCE), round(_EVERY / _PAUSE)), 1)
        self._at_once, self._pause = -(-count // goes), _EVERY / goes

    def _look_at(self, session: Session, now: float, carriers: set[Any]) -> None:
        life = life_of(session)
        again = True
        if life.carrier is None:
            again = life.link.look() or life.journal is not None
        elif life.carrier not in carriers:
            carriers.add(life.carrier)
            life.carrier.find_reset()
        if again:
            self._active[session] = None
        progress, seen = Progress.of(life), self._seen[session]
        if seen is None:
            if progress == _NOTHING:
                return  # it is to cost nothing
            seen = self._seen[session] = _Seen(now - _EVERY)
        if session.is_open:
            self._judge(session, seen, progress, now)
        seen.progress = progress

    def _judge(self, session: Session, seen: _Seen, progress: Progress, now: float) -> None:
        last, options = seen.progress, session.options
        frames, pings = progress.frames - last.frames, progress.pings - last.pings
        seen.frames, wait = _take(seen.frames, options.message_rate, frames, now)
        if wait > 0:
            session.hold_reading(wait)
            self._limited("message_rate", session, seen.told)
            seen.told = True
        seen.pings, wait = _take(seen.pings, options.ping_rate, pings, now)
        if wait > 0:
            self._fail(session, CloseCode.POLICY_VIOLATION, "too many pings")
            self._limited("ping_rate", session)
            return
        stuck = progress.resumed == last.resumed and 0 < last.waiting <= progress.waiting
        if not stuck:
            seen.since = now
            return
        timeout = options.write_timeout
        if timeout is not None and now - seen.since >= timeout:
            self._fail(session, CloseCode.TRY_AGAIN_LATER, "peer reads nothing")
            self._limited("write_timeout", session)

    @staticmethod
    def _fail(session: Session, code: CloseCode, reason: str) -> None:
        life_of(session).link.fail(RemoteProtocolError(code, reason))

    def _limited(self, limit: str, session: Session, told: bool = False) -> None:
        if not told:
            remote = session.request.remote or session.request.host  # a client's peer has a host
            self._logger.warning("session %s from %s: %s", session.id, remote, limit)
        self._installed.limited(limit, session.request)


def _take(
    bucket: Bucket | None, rate: float | None, count: int, now: float
) -> tuple[Bucket | None, float]:
    """Take what a session has done since the last look from its bucket.

    Who never does more than the rate allows in a second needs none.

    Returns:
        The bucket, and the seconds until nothing is owed.
    """
    if rate is None or (bucket is None and count <= rate * _EVERY):
        return bucket, 0.0
    bucket = bucket or Bucket(rate, _BURST, now)
    return bucket, bucket.take(count, now)
