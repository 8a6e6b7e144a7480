"""What a page's table tells of a session, which sessions it shows, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

from msgspec import Struct

from wsext import CloseInfo, Held, Session

__all__ = ["End", "Row", "Traffic", "View", "held_by", "row_of", "traffic_of"]

#: Characters of a path, and of other texts that a peer has chosen.
_MAX_PATH = 400
_MAX_TEXT = 100


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


class End(Struct):
    """How a session ended. ``by`` is who sent the first Close frame, or nobody."""

    at: float
    code: int
    reason: str
    by: str
    clean: bool
    error: str | None

    @classmethod
    def of(cls, info: CloseInfo) -> End:
        """An end that is now."""
        if info.local is None and info.remote is None:
            who = "nobody"
        else:
            who = "server" if info.local_first else "client"
        error = type(info.exception).__name__ if info.exception else None
        return cls(time.time(), info.code, info.reason, who, info.clean, error)


class Row(Struct):
    """One session. Times in seconds, latency in milliseconds, ``held`` in bytes (see `Held`).

    The path is without its query, which may hold secrets. ``connected`` says whether it has a
    connection just now, ``resumptions`` how often it went on with another one. If it has ended,
    ``age`` is how long it lived.
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
    incoming: Traffic
    outgoing: Traffic
    held: dict[str, int] = {}
    end: End | None = None

    @property
    def state(self) -> str:
        """``open``, ``detached`` or ``ended``."""
        return "ended" if self.end else "open" if self.connected else "detached"


def row_of(session: Session, since: float) -> Row:
    """A session as it is now, but for what it holds, which takes longer to find out.

    Args:
        session: The session.
        since: When it opened, as `time.monotonic` tells.
    """
    incoming, outgoing = traffic_of(session)
    latency = session.latency
    return Row(
        session.id,
        session.name[:_MAX_TEXT],
        session.request.path[:_MAX_PATH],
        session.request.remote or "",
        session.subprotocol,
        [agreed.name for agreed in session.extensions],
        time.monotonic() - since,
        None if latency is None else latency * 1000,
        session.connected,
        session.resumptions,
        incoming,
        outgoing,
    )


def held_by(session: Session) -> dict[str, int]:
    """The bytes that a session holds, by what holds them, without the zeros."""
    return {name: count for name, count in Held.of(session)._asdict().items() if count}


def traffic_of(session: Session) -> tuple[Traffic, Traffic]:
    """What has come in on a session, and what has gone out."""
    stats = session.stats
    return (
        Traffic(stats.messages_in, stats.app_bytes_in, stats.wire_bytes_in),
        Traffic(stats.messages_out, stats.app_bytes_out, stats.wire_bytes_out),
    )


def _share(row: Row) -> float:
    """Bytes on the wire for each byte of the application."""
    app = row.incoming.app + row.outgoing.app
    return (row.incoming.wire + row.outgoing.wire) / app if app else 0.0


_KEYS: dict[str, Callable[[Row], Any]] = {
    "age": lambda row: -row.end.at if row.end else row.age,
    "path": lambda row: (row.path, row.name),
    "peer": lambda row: row.remote,
    "extensions": lambda row: row.extensions,
    "state": lambda row: (row.state, row.end.code if row.end else 0),
    "in": lambda row: row.incoming.messages,
    "out": lambda row: row.outgoing.messages,
    "wire": _share,
}


class View(Struct, frozen=True):
    """Which sessions a page shows, and in which order: the youngest first unless it says more.

    Attributes:
        text: What stands in a session's id, name, path, peer, subprotocol or extensions.
        state: What the session is; empty for any.
        extension: What the session has agreed on; empty for anything.
        sort: What the order goes by.
        descending: Whether the greatest comes first.
    """

    text: str = ""
    state: Literal["", "open", "detached", "ended"] = ""
    extension: str = ""
    sort: Literal["age", "path", "peer", "extensions", "state", "in", "out", "wire"] = "age"
    descending: bool = False

    @property
    def takes_newest(self) -> bool:
        """Whether it shows the newest sessions without a look at any other."""
        return self == View()

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that it shows, in its order."""
        text = self.text.casefold()
        found = [row for row in rows if self._shows(row, text)]
        return sorted(found, key=_KEYS[self.sort], reverse=self.descending)

    def _shows(self, row: Row, text: str) -> bool:
        if self.state and row.state != self.state:
            return False
        if self.extension and self.extension not in row.extensions:
            return False
        words = (row.id, row.name, row.path, row.remote, row.subprotocol or "", *row.extensions)
        return not text or any(text in word.casefold() for word in words)
