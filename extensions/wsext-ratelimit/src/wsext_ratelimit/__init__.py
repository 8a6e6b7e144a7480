"""Limits what a peer may send: messages and bytes per second, for every session on its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal
from weakref import WeakKeyDictionary

from wsext import (
    CloseCode,
    EndSession,
    Frame,
    Interceptor,
    OptionSet,
    Session,
    hookimpl,
    local,
)

__all__ = ["Bucket", "RateLimit", "RateLimitOptions"]


class RateLimitOptions(OptionSet):
    """The options of `RateLimit`."""

    messages: (
        Annotated[float, local("messages per second that a peer may send; none: any", gt=0)] | None
    ) = 100.0
    bytes: (
        Annotated[float, local("payload bytes per second that a peer may send; none: any", gt=0)]
        | None
    ) = None
    burst: Annotated[float, local("seconds' worth that may come at once", ge=0.01, le=3600)] = 2.0
    verdict: Annotated[
        Literal["drop", "delay", "close"],
        local("what too much gets: dropped messages, slower reading, or close code 1008"),
    ] = "close"


class Bucket:
    """A token bucket: ``rate`` tokens per second, at most ``rate * burst`` of them.

    It may go below zero: what has come has come, and the debt is what there is to wait for.
    """

    __slots__ = ("_at", "_full", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._full = max(rate * burst, 1.0)
        self._tokens = self._full
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; the seconds until there are none owed, 0.0 if it was within the limit."""
        tokens = min(self._full, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens = tokens - amount
        return max(0.0, -self._tokens / self._rate)

    def give_back(self, amount: float) -> None:
        """Undo a `take`: what was dropped does not count."""
        self._tokens += amount


class _State:
    """What is known of one session."""

    __slots__ = ("buckets", "dropping")

    def __init__(self, buckets: list[tuple[Bucket, bool]]) -> None:
        self.buckets = buckets
        self.dropping = False  # the rest of a message whose beginning was dropped


class RateLimit(Interceptor):
    """Messages and bytes per second of every session, with bursts.

    ``drop`` loses whole messages, ``delay`` stops reading until the debt is paid, so that TCP slows
    the peer down, ``close`` ends the session with 1008. Control frames do not count.

    It looks at frames, and not at whole messages: what is too much is refused before it is joined.
    """

    name: ClassVar[str] = "ratelimit"
    fail_closed: ClassVar[bool] = True  # what does not count any more is no limit
    Options: ClassVar[type[OptionSet]] = RateLimitOptions
    options: RateLimitOptions

    #: Seconds that never go back; tests put their own here.
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def setup(self) -> None:
        self._states: WeakKeyDictionary[Session, _State] = WeakKeyDictionary()
        #: Messages that were dropped, and sessions that were closed, since the start.
        self.dropped = 0
        self.closed = 0

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        now = self.clock()
        options = self.options
        buckets = [
            (Bucket(rate, options.burst, now), by_size)
            for rate, by_size in ((options.messages, False), (options.bytes, True))
            if rate is not None
        ]
        self._states[session] = _State(buckets)

    @hookimpl
    def wsext_frame_received(self, session: Session, frame: Frame) -> tuple[()] | None:
        state = self._states.get(session)
        if state is None or frame.is_control:
            return None
        if not frame.opcode and state.dropping:
            state.dropping = not frame.fin
            return ()
        wait = self._take(state, frame)
        if wait <= 0:
            return None
        return self._judge(session, state, frame, wait)

    def _take(self, state: _State, frame: Frame) -> float:
        now = self.clock()
        wait = 0.0
        for bucket, by_size in state.buckets:
            amount = len(frame.payload) if by_size else int(bool(frame.opcode))
            wait = max(wait, bucket.take(amount, now))
        return wait

    def _judge(
        self, session: Session, state: _State, frame: Frame, wait: float
    ) -> tuple[()] | None:
        verdict = self.options.verdict
        if verdict == "delay":
            session.hold_reading(wait)
            return None
        if verdict == "close":
            self.closed += 1
            raise EndSession(CloseCode.POLICY_VIOLATION, "too many messages or bytes")
        if not frame.opcode:
            return None  # its beginning was let in, so all of it is
        self.dropped += 1
        state.dropping = not frame.fin
        for bucket, by_size in state.buckets:
            bucket.give_back(len(frame.payload) if by_size else 1)
        return ()
