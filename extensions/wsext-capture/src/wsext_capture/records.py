"""What the writers get."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsext import Session

__all__ = ["Opened", "Record", "add_to", "open_private"]


def open_private(path: Path, flags: int) -> int:
    """Open a file as `os.open` does; a new one can be read by its owner only."""
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


def add_to(path: Path) -> io.FileIO:
    """A file to which is written without a buffer, always at its end."""
    return io.FileIO(open_private(path, os.O_WRONLY | os.O_APPEND), "ab")


_SECRET = frozenset({"cookie", "authorization", "proxy-authorization"})


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A session at its opening.

    Attributes:
        id: The session's.
        time: Seconds since 1970.
        role: ``"server"`` or ``"client"``: whose side this is.
        path: Path and query.
        url: The whole address, as far as it is known.
        remote: The peer's address, or ``None``.
        headers: Of the request.
        extensions: What was agreed, as the response has it.
        subprotocol: The subprotocol, or ``None``.
    """

    id: str
    time: float
    role: str
    path: str
    url: str
    remote: str | None
    headers: tuple[tuple[str, str], ...]
    extensions: str | None
    subprotocol: str | None

    @classmethod
    def of(cls, session: Session, now: float, secrets: bool) -> Opened:
        """Take what is to be written from a session."""
        request = session.request
        headers = tuple(
            (name, value if secrets or name.lower() not in _SECRET else "[left out]")
            for name, value in request.headers.raw_items()
        )
        scheme = "wss" if request.secure else "ws"
        return cls(
            session.id,
            now,
            session.role,
            request.target,
            f"{scheme}://{request.host or 'localhost'}{request.target}",
            request.remote,
            headers,
            session.negotiation.header,
            session.subprotocol,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One frame.

    Attributes:
        time: Seconds since 1970.
        way: ``"received"`` or ``"sent"``, from this side.
        opcode: 0 to 15.
        fin: Whether it is the last of its message.
        payload: At most ``max_payload`` bytes of it.
        size: How many bytes it really has.
        meta: Metadata beside it.
    """

    time: float
    way: str
    opcode: int
    fin: bool
    payload: bytes
    size: int
    meta: Mapping[str, Any] | None
