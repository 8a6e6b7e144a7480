"""The plugin: fills the instruments from what sessions count themselves.

Nothing runs per message. A session's own totals are taken over when it ends, when the page is
asked for, and every few seconds where other workers may be asked for it. What each extension does
to bytes and how long it takes is measured on a sample of the sessions, by `Session.trace`.

Whoever asks for the page cannot keep the others waiting: sessions are gone through a few at a time,
the page is written in a thread, and all who ask in a while get the same one.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import defaultdict
from collections.abc import Coroutine
from platform import python_version
from time import monotonic, perf_counter
from typing import Annotated, Any, ClassVar

from wsext import (
    CODEC,
    App,
    CloseCode,
    CloseInfo,
    Extension,
    Frame,
    Held,
    Interceptor,
    OptionSet,
    Request,
    Response,
    Secret,
    Session,
    __version__,
    hookimpl,
    local,
)
from wsext_metrics.instruments import Instruments, instruments, is_shared, page

__all__ = ["Metrics", "MetricsOptions"]

_DIRECTIONS = ("in", "out")

#: Sessions that are gone through before the others have their turn.
_SLICE = 100
#: Sessions that are gone through per second, at most: with more the same page is given for longer.
_UPDATED_PER_SECOND = 3000
#: The close codes of RFC 6455 and its registry.
_CODES = frozenset(CloseCode)
#: Close codes of a side that are counted by themselves, beside those.
_MAX_CODES = 16
#: What only a proxy sends.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
#: This machine as a program of it asks for it; another name may be a page's (DNS rebinding).
_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d*)?", re.IGNORECASE)


class MetricsOptions(OptionSet):
    """The options of `Metrics`."""

    path: Annotated[str, local("where the metrics are", pattern="^/")] = "/metrics"
    token: (
        Annotated[Secret, local("bearer token of scrapers; none: only for this machine")] | None
    ) = None
    sample: Annotated[
        float, local("part of the sessions whose extensions are measured", ge=0, le=1)
    ] = 0.01
    every: Annotated[
        float, local("seconds between updates that other workers can see", gt=0, le=300)
    ] = 5.0


class Metrics(Interceptor):
    """Serves the metrics of all sessions of a server at ``/metrics``."""

    name: ClassVar[str] = "metrics"
    Options: ClassVar[type[OptionSet]] = MetricsOptions
    options: MetricsOptions

    def setup(self) -> None:
        self._to: Instruments = instruments()
        self._watched: dict[Session, _Watched] = {}
        self._routes: set[str] = set()
        #: Of each extension in use, what of its own totals has been taken over.
        self._counted: dict[Extension, dict[str, int]] = {}
        self._updating: asyncio.Task[None] | None = None
        self._rooms: _Rooms | None = None
        self._pages: dict[bool, _Page] = {}
        self._codes: dict[str, set[int]] = defaultdict(set)

    # --- the page -----------------------------------------------------------------------------

    @hookimpl
    def wsext_routes(self, app: App) -> None:
        """Add the page."""
        self._rooms = _Rooms(app, self._to)
        app.admin.http(self.options.path, guards=[self._guard])(self._page)

    def _guard(self, request: Request) -> Response | None:
        token = self.options.token
        if token is None:
            if _is_from_here(request):
                return None
            return Response(403, "without the option token only for this machine\n")
        if token.matches(request.bearer_token):
            return None
        return Response(401, "a bearer token is needed\n", {"WWW-Authenticate": "Bearer"})

    async def _page(self, request: Request) -> Response:
        kind = "application/openmetrics-text" in request.headers.get("Accept", "")
        made = self._pages.get(kind)
        if made is None or made.is_old(len(self._watched) / _UPDATED_PER_SECOND):
            made = self._pages[kind] = _Page(self._make(kind))
        body, content_type = await made.content()
        return Response(body=body, content_type=content_type)

    async def _make(self, is_open_metrics: bool) -> tuple[bytes, str]:
        await self._update()
        return await asyncio.to_thread(page, is_open_metrics)

    # --- what happens -------------------------------------------------------------------------

    @hookimpl
    def wsext_answered(self, request: Request | None, status: int) -> None:
        """Count the answer; paths that nobody has registered are one."""
        route = request.route if request is not None else None
        self._to.handshakes.labels(route or "", str(status)).inc()

    @hookimpl
    def wsext_limited(self, limit: str) -> None:
        """Count it."""
        self._to.limits.labels(limit).inc()

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        """Watch a server's session from now on."""
        if session.role != "server":
            return
        watched = self._watched[session] = _Watched(session, self._to)
        for agreed in session.extensions:
            self._counted.setdefault(agreed.extension, {})
        self._routes.add(watched.route)
        self._to.sessions.labels(watched.route).inc()
        if session.extensions and random.random() < self.options.sample:  # no secret is at stake
            watched.measure()
        if self._updating is None and is_shared():
            self._updating = asyncio.create_task(self._keep_updating())

    @hookimpl
    def wsext_session_detached(self, session: Session) -> None:
        """It has no connection for a while."""
        watched = self._watched.get(session)
        if watched is not None:
            watched.detach()

    @hookimpl
    def wsext_session_resumed(self, session: Session) -> None:
        """It goes on."""
        watched = self._watched.get(session)
        if watched is not None:
            self._to.away.labels(watched.route).observe(watched.attach())

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        """Take over its totals."""
        watched = self._watched.pop(session, None)
        if watched is None:
            return
        watched.update()
        watched.attach()
        by = "nobody" if info.code == 1006 else "us" if info.local_first else "peer"
        watched.end(info, self._label(info.code, by), by)
        self._to.sessions.labels(watched.route).dec()

    def _label(self, code: int, by: str) -> str:
        """A close code, or ``other``: peers may send any of thousands."""
        codes = self._codes[by]
        if code not in _CODES and code not in codes:
            if len(codes) >= _MAX_CODES:
                return "other"
            codes.add(code)
        return str(code)

    async def _keep_updating(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(self.options.every)
                await self._update()
        finally:
            self._updating = None

    async def _update(self) -> None:
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        self._to.build.labels(__version__, python_version(), CODEC, loop).set(1)
        if self._rooms is not None:
            self._rooms.update()
        for extension, last in self._counted.items():
            for event, total in extension.counters.items():
                labels = self._to.events.labels(extension.name, event)
                labels.inc(total - last.get(event, 0))
                last[event] = total
        outgoing = dict.fromkeys(self._routes, 0)
        incoming = dict.fromkeys(self._routes, 0)
        held = dict.fromkeys(Held.__annotations__, 0)
        for number, (session, watched) in enumerate(list(self._watched.items()), 1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            watched.update()
            outgoing[watched.route] += session.buffered_amount
            incoming[watched.route] += session.stats.waiting_in
            for share, size in zip(held, Held.of(session), strict=True):
                held[share] += size
        for share, size in held.items():
            self._to.held.labels(share).set(size)
        for gauge, values in ((self._to.outgoing, outgoing), (self._to.incoming, incoming)):
            for route, value in values.items():
                gauge.labels(route).set(value)


class _Page:
    """A page that is made once, for all who ask while it is made or not old."""

    def __init__(self, making: Coroutine[Any, Any, tuple[bytes, str]]) -> None:
        self._task = asyncio.create_task(making)
        self._begun = monotonic()

    def is_old(self, seconds: float) -> bool:
        """Whether it was begun longer ago."""
        return self._task.done() and monotonic() - self._begun > seconds

    async def content(self) -> tuple[bytes, str]:
        """Body and content type; whoever goes away meanwhile leaves it to the others."""
        return await asyncio.shield(self._task)


def _is_from_here(request: Request) -> bool:
    """Whether a program of this machine asks itself: no proxy, and no page of a foreign name."""
    peer = request.get_extra_info("peername")
    if not isinstance(peer, tuple) or not (peer[0] == "::1" or peer[0].startswith("127.")):
        return False
    if any(name in request.headers for name in _FORWARDED):
        return False
    return _HERE.fullmatch(request.host) is not None


class _Rooms:
    """The rooms of an app and their backplane, and what of their totals has been taken over."""

    _COPIES = ("delivered", "dropped", "coalesced")
    _BETWEEN = ("published", "received", "repeated", "dropped", "unreadable")

    def __init__(self, app: App, to: Instruments) -> None:
        self._hub = app.hub
        self._to = to
        self._last: dict[Any, int] = {}

    def update(self) -> None:
        """Take over what has been counted since the last time."""
        to, counters, status = self._to, self._hub.counters, self._hub.status
        self._add(to.said, counters.messages)
        for name in self._COPIES:
            self._add(to.copies.labels(name), getattr(counters, name))
        self._add(to.recovered, counters.recovered)
        self._add(to.room_replayed, counters.replayed)
        self._add(to.room_replayed_bytes, counters.replayed_bytes)
        for reason, count in counters.missed.items():  # the reasons are wsext's own, and few
            self._add(to.missed.labels(reason), count)
        to.held.labels("rooms").set(self._hub.kept.size)
        to.held.labels("contexts").set(self._hub.contexts.size)
        to.held.labels("backplane").set(status.queued_bytes + status.kept_bytes)
        to.connected.set(status.connected)
        to.queued.set(status.queued)
        to.kept.set(self._hub.kept.size + status.kept_bytes)
        self._add(to.reconnects, status.reconnects)
        for name in self._BETWEEN:
            self._add(to.between.labels(name), getattr(status, name))

    def _add(self, counter: Any, total: int) -> None:
        counter.inc(total - self._last.get(counter, 0))
        self._last[counter] = total


class _Watched:
    """One session, and what of it has been taken over."""

    def __init__(self, session: Session, to: Instruments) -> None:
        self.route = session.request.route or ""
        self._session = session
        self._to = to
        self._opened = monotonic()
        self._last = (0,) * 8
        self._replayed = 0, 0
        self._detached: float | None = None
        self._sample: _Sample | None = None

    def measure(self) -> None:
        """Measure what its extensions do."""
        self._to.sampled.inc()
        self._sample = _Sample([agreed.name for agreed in self._session.extensions])
        self._session.trace(self._sample)

    def update(self) -> None:
        """Take over what has been counted since the last time."""
        stats = self._session.stats
        now = (
            stats.messages_in, stats.messages_out, stats.app_bytes_in, stats.app_bytes_out,
            stats.wire_bytes_in, stats.wire_bytes_out, stats.dropped_in, stats.dropped_out,
        )  # fmt: skip
        if now != self._last:
            to = self._to
            kinds = (to.messages, to.app_bytes, to.wire_bytes, to.dropped)
            for place, (value, last) in enumerate(zip(now, self._last, strict=True)):
                if value != last:
                    counter = kinds[place // 2]
                    counter.labels(self.route, _DIRECTIONS[place % 2]).inc(value - last)
            self._last = now
        if self._sample is not None:
            self._sample.report(self._to)
        journal = self._session.negotiation.journal
        if journal is not None and journal.replayed != self._replayed[0]:
            messages, size = self._replayed
            self._to.replayed.labels(self.route).inc(journal.replayed - messages)
            self._to.replayed_bytes.labels(self.route).inc(journal.replayed_bytes - size)
            self._replayed = journal.replayed, journal.replayed_bytes

    def detach(self) -> None:
        """It has lost its connection."""
        self._detached = monotonic()
        self._to.detached.labels(self.route).inc()

    def attach(self) -> float:
        """It has a connection again, or has ended; the seconds for which it had none."""
        if self._detached is None:
            return 0.0
        self._to.detached.labels(self.route).dec()
        since, self._detached = self._detached, None
        return monotonic() - since

    def end(self, info: CloseInfo, code: str, by: str) -> None:
        """Count how it ended."""
        self._to.closes.labels(self.route, code, by).inc()
        self._to.duration.labels(self.route).observe(monotonic() - self._opened)
        dropped = self._session.stats.dropped_out
        if dropped or (info.local is not None and info.local[0] == 1013 and info.local_first):
            self._to.slow.labels(self.route).inc()


class _Sample:
    """Follows the frames of one session through its extensions.

    What comes out of an extension is what goes into the next, and the time between the two is the
    next one's.
    """

    def __init__(self, names: list[str]) -> None:
        #: Which stage feeds which, by direction: ``out`` goes from the application to the wire.
        way = ["app", *names, "wire"]
        self._before = {("out", name): way[at] for at, name in enumerate(names)}
        self._before |= {("in", name): way[at + 2] for at, name in enumerate(names)}
        self._bytes: dict[tuple[str, str], int] = defaultdict(int)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._clock = 0.0

    def __call__(self, direction: str, stage: str, frame: Frame) -> None:
        now = perf_counter()
        key = (direction, stage)
        if key in self._before:
            self._seconds[key] += now - self._clock
        if frame.opcode < 8:
            self._bytes[key] += len(frame.payload)
        self._clock = perf_counter()

    def report(self, to: Instruments) -> None:
        """Take over what has been measured since the last time."""
        for (direction, name), before in self._before.items():
            made = self._bytes[direction, name]
            given = self._bytes[direction, before]
            app, wire = (given, made) if direction == "out" else (made, given)
            to.extension_bytes.labels(name, direction, "app").inc(app)
            to.extension_bytes.labels(name, direction, "wire").inc(wire)
            to.extension_seconds.labels(name, direction).inc(self._seconds[direction, name])
        self._bytes.clear()
        self._seconds.clear()
