"""HAR 1.2, with the messages where browsers' developer tools put them (``_webSocketMessages``).

A HAR file is one JSON document, so it is written anew, in one step, whenever a session ends.
"""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wsext_capture.records import Opened, Record

__all__ = ["HarWriter"]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class HarWriter:
    """Keeps the entries, and writes the file when a session ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        self._open: dict[Opened, list[dict[str, Any]]] = {}
        path.touch()  # a file that cannot be written is found out now

    def open(self, opened: Opened) -> None:
        """A session has opened."""
        self._open[opened] = []

    def frame(self, opened: Opened, record: Record) -> None:
        """A frame has travelled; from a browser's view, so a server's are turned round."""
        if record.opcode >= 8:
            return
        sent = (record.way == "sent") == (opened.role == "client")
        text = record.opcode == 1
        data = record.payload.decode("utf-8", "replace") if text else None
        self._open[opened].append(
            {
                "type": "send" if sent else "receive",
                "time": record.time,
                "opcode": record.opcode,
                "data": base64.b64encode(record.payload).decode() if data is None else data,
            }
        )

    def close(self, opened: Opened, now: float, code: int, reason: str) -> None:
        """A session has ended: write the file."""
        headers = [{"name": name, "value": value} for name, value in opened.headers]
        answer = [{"name": "Upgrade", "value": "websocket"}]
        if opened.extensions:
            answer.append({"name": "Sec-WebSocket-Extensions", "value": opened.extensions})
        self._entries.append(
            {
                "startedDateTime": _when(opened.time),
                "time": (now - opened.time) * 1000,
                "request": {
                    "method": "GET",
                    "url": opened.url,
                    "httpVersion": "HTTP/1.1",
                    "cookies": [],
                    "headers": headers,
                    "queryString": [],
                    "headersSize": -1,
                    "bodySize": 0,
                },
                "response": {
                    "status": 101,
                    "statusText": "Switching Protocols",
                    "httpVersion": "HTTP/1.1",
                    "cookies": [],
                    "headers": answer,
                    "content": {"size": 0, "mimeType": "x-unknown"},
                    "redirectURL": "",
                    "headersSize": -1,
                    "bodySize": 0,
                },
                "cache": {},
                "timings": {"send": 0, "wait": 0, "receive": (now - opened.time) * 1000},
                "serverIPAddress": "",
                "connection": opened.id,
                "comment": f"closed with {code} {reason}".strip(),
                "_resourceType": "websocket",
                "_webSocketMessages": self._open.pop(opened, []),
            }
        )
        log = {
            "log": {
                "version": "1.2",
                "creator": {"name": "wsext-capture", "version": "0.1.0"},
                "entries": self._entries,
            }
        }
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_bytes(msgspec.json.encode(log))
        os.replace(beside, self._path)

    def finish(self) -> None:
        """No session is open; the entries stay, for the next time the file is written."""
