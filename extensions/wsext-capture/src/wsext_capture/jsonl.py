"""JSON lines: one object per event, for scripts and for ``wsext zstd train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from wsext_capture.records import Opened, Record, add_to

__all__ = ["JsonlWriter"]


class JsonlWriter:
    """Appends to a file, a line per event, each written at once."""

    def __init__(self, path: Path) -> None:
        self._file = add_to(path)

    def _put(self, event: dict[str, Any]) -> None:
        self._file.write(msgspec.json.encode(event) + b"\n")

    def open(self, opened: Opened) -> None:
        """A session has opened."""
        self._put(
            {
                "event": "open",
                "session": opened.id,
                "time": opened.time,
                "role": opened.role,
                "url": opened.url,
                "remote": opened.remote,
                "subprotocol": opened.subprotocol,
                "extensions": opened.extensions,
                "headers": opened.headers,
            }
        )

    def frame(self, opened: Opened, record: Record) -> None:
        """A frame has travelled: text as it is, everything else in hexadecimal."""
        event: dict[str, Any] = {
            "event": "frame",
            "session": opened.id,
            "time": record.time,
            "way": record.way,
            "opcode": record.opcode,
            "fin": record.fin,
            "size": record.size,
        }
        try:
            if record.opcode != 1:
                raise ValueError
            event["text"] = str(record.payload, "utf-8")
        except ValueError:  # binary, or text that was cut inside a character
            event["hex"] = record.payload.hex()
        if record.meta:
            event["meta"] = {name: str(value) for name, value in record.meta.items()}
        self._put(event)

    def close(self, opened: Opened, now: float, code: int, reason: str) -> None:
        """A session has ended."""
        self._put(
            {"event": "close", "session": opened.id, "time": now, "code": code, "reason": reason}
        )

    def finish(self) -> None:
        """No session is open."""
        self._file.close()
