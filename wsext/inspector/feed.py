"""What goes to one open page, twice a second: an overview, and the frames of what it watches."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from msgspec import Struct

from wsext import CloseInfo, Dispatcher, Session, __version__, on
from wsext.inspector.frames import FrameSeen, Reader
from wsext.inspector.history import Sample
from wsext.inspector.register import Description, Register
from wsext.inspector.rows import Row, Traffic, View

__all__ = ["Live"]

#: Seconds between two reports.
_TICK = 0.5


class Hello(Struct, tag="hello"):
    """The first message to a page, with the totals of the time before it.

    ``clock`` is the time of day less the time of samples.
    """

    version: str
    extensions: list[str]
    payload: bool
    clock: float
    history: list[Sample]


class WatchRequest(Struct, tag="watch"):
    """From the page: show this session, or none; with payloads or without."""

    session: str | None = None
    payload: bool = False


class ViewRequest(Struct, tag="view"):
    """From the page: show these sessions in its table from now on."""

    view: View


class Watching(Struct, tag="watching"):
    """The session that is watched from now on, how it came about, and its last frames; empty if
    nobody knows it. ``recorded`` says whether its frames are recorded, or were.
    """

    session: str | None
    recorded: bool = False
    description: Description | None = None
    frames: list[FrameSeen] = []


class Overview(Struct, tag="overview"):
    """All sessions in short, and those of the page's table.

    ``matching`` is how many sessions of now the table would show without its bound. ``counted`` is
    the time of the totals. ``detached`` sessions have no connection, and ``resumptions`` is how
    often one has got another one.
    """

    uptime: float
    sessions: int
    detached: int
    resumptions: int
    matching: int
    rows: list[Row]
    counted: float
    incoming: Traffic
    outgoing: Traffic
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
        self.view = View()
        self.watched: str | None = None
        self.reader: Reader | None = None
        self._picked: list[str] = []
        self._matching = 0
        self._picked_at = 0.0

    async def on_open(self, session: Session, *args: Any, **path_params: Any) -> Hello:
        register = self.register
        register.page_opened()
        session.create_task(self._report())
        names = [item.name for item in register.installed.items]
        register.totals()
        clock = time.time() - time.monotonic()
        return Hello(__version__, names, register.payload, clock, register.history.samples())

    async def on_close(self, session: Session, info: CloseInfo) -> None:
        self._stop()
        self.register.page_closed()

    @on(WatchRequest)
    def watch(self, session: Session, message: WatchRequest) -> Watching:
        """Watch another session."""
        self._stop()
        found = self.register.find(message.session)
        if found is None:
            return Watching(None)
        self.watched = message.session
        description, recorder = found
        if recorder is None:
            return Watching(message.session, False, description)
        recorder.watchers += 1
        self.reader = Reader(recorder, message.payload)
        frames, _ = self.reader.take()
        return Watching(message.session, True, description, frames)

    @on(ViewRequest)
    def show(self, session: Session, message: ViewRequest) -> Overview:
        """Show other sessions, or the same in another order."""
        self.view = message.view
        self._picked_at = 0.0
        return self._overview()

    def _stop(self) -> None:
        if self.reader is not None:
            self.reader.recorder.watchers -= 1
        self.watched = self.reader = None

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            await self.send(self._overview())
            if self.reader is not None and self.watched is not None:
                watched, (frames, left_out) = self.watched, self.reader.take()
                if frames or left_out:
                    await self.send(Frames(watched, frames, left_out))

    def _overview(self) -> Overview:
        register = self.register
        totals, rows = register.totals(), self._rows()
        return Overview(
            totals.time - register.started,
            len(register),
            len(register.detached),
            register.resumptions,
            self._matching,
            rows,
            totals.time,
            totals.incoming,
            totals.outgoing,
            dict(register.codes.most_common(12)),
        )

    def _rows(self) -> list[Row]:
        """The rows of the table; the session that is watched is always among them."""
        now = time.monotonic()
        if now - self._picked_at > self.register.pause:
            self._picked, self._matching = self.register.pick(self.view)
            self._picked_at = now
        ids = self._picked
        if self.watched is not None and self.watched not in ids:
            ids = [self.watched, *ids]
        return [row for id in ids if (row := self.register.row(id)) is not None]
