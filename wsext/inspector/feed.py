"""What goes to one open page, twice a second: an overview, and the frames of what it watches."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from wsext import CloseInfo, Dispatcher, Session, __version__, on
from wsext.inspector.frames import FrameSeen, Recorder
from wsext.inspector.register import Closed, Offered, Register, Row, Traffic

__all__ = ["Live"]

#: Seconds between two reports.
_TICK = 0.5


class Hello(Struct, tag="hello"):
    """The first message to a page."""

    version: str
    extensions: list[str]
    payload: bool


class WatchRequest(Struct, tag="watch"):
    """From the page: show this session, or none; with payloads or without."""

    session: str | None = None
    payload: bool = False


class Watching(Struct, tag="watching"):
    """The session that is watched from now on, with its negotiation; empty if it has ended."""

    session: str | None
    path: str = ""
    origin: str = ""
    agent: str = ""
    header: str = ""
    stages: list[str] = []
    offers: list[Offered] = []


class Overview(Struct, tag="overview"):
    """All sessions in short. ``counted`` is the time of the totals. ``detached`` sessions have no
    connection, and ``resumptions`` is how often one has got another one."""

    uptime: float
    sessions: int
    detached: int
    resumptions: int
    rows: list[Row]
    counted: float
    incoming: Traffic
    outgoing: Traffic
    closed: list[Closed]
    codes: dict[int, int]


class Frames(Struct, tag="frames"):
    """Frames of the session that is watched, and how many are not among them."""

    session: str
    frames: list[FrameSeen]
    left_out: int


class Live(Dispatcher):
    """The feed of one page."""

    on_invalid = 1008
    pushes = (Hello, Overview, Frames)

    def __init__(self, register: Register) -> None:
        self.register = register
        self.recorder: Recorder | None = None
        self.told = 0  # the number of the last end that the page knows

    async def on_open(self, session: Session, *args: Any, **path_params: Any) -> Hello:
        self.register.pages += 1
        session.create_task(self._report())
        names = [item.name for item in self.register.installed.items]
        return Hello(__version__, names, self.register.payload)

    async def on_close(self, session: Session, info: CloseInfo) -> None:
        self.register.pages -= 1
        self._stop()

    @on(WatchRequest)
    def watch(self, session: Session, message: WatchRequest) -> Watching:
        """Watch another session."""
        self._stop()
        watched = self.register.get(message.session)
        if watched is None:
            return Watching(None)
        self.recorder = Recorder(watched, self.register.payload and message.payload)
        return _describe(watched)

    def _stop(self) -> None:
        if self.recorder is not None:
            self.recorder.end()
            self.recorder = None

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            await self.send(self._overview())
            recorder = self.recorder
            if recorder is not None:
                frames, left_out = recorder.take()
                if frames or left_out:
                    await self.send(Frames(recorder.id, frames, left_out))

    def _overview(self) -> Overview:
        register = self.register
        closed = register.closed_after(self.told)
        self.told = register.number
        counted, incoming, outgoing = register.totals()
        return Overview(
            counted - register.started,
            len(register),
            len(register.detached),
            register.resumptions,
            list(register.rows(self.recorder.id if self.recorder else None)),
            counted,
            incoming,
            outgoing,
            closed,
            dict(register.codes.most_common(12)),
        )


def _describe(session: Session) -> Watching:
    request = session.request
    return Watching(
        session.id,
        request.path[:200],
        (request.origin or "")[:200],
        " ".join(request.headers.get_all("User-Agent"))[:200],
        session.negotiation.header or "",
        ["app", *(agreed.name for agreed in session.extensions), "wire"],
        [
            Offered(str(record.offer)[:300], record.verdict.value, record.reason[:300])
            for record in session.negotiation.records
        ],
    )
