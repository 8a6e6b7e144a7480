"""HAR 1.2, with the messages where browsers' developer tools put them (``_webSocketMessages``).

A HAR file is one JSON document. Here it has an entry per line, and what ends the document is
written over by the next entry and its own end, in one write: so the file is valid after each write,
and several processes may add to it. A write that a crash has cut off is taken out again when the
file is opened the next time.
"""

from __future__ import annotations

import base64
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wsext_capture.records import Opened, Record, open_private

try:
    import fcntl
except ImportError:  # Windows: one process only
    fcntl = None  # type: ignore[assignment]

__all__ = ["HarWriter"]

_BEGIN = b'{"log":{"version":"1.2","creator":{"name":"wsext-capture","version":"0.1.0"},"entries":['
_END = b"\n]}}\n"

#: Bytes of a session's messages at which they become an entry, so that few wait in memory.
_PART = 1 << 16


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line.removeprefix(b",")), dict)
    except msgspec.DecodeError:
        return False


class _Session:
    """The messages of a session that are in no entry yet."""

    def __init__(self, start: float) -> None:
        self.messages: list[dict[str, Any]] = []
        self.size = 0
        self.start = start


class HarWriter:
    """Adds entries to a file: one per session, more for one with many messages."""

    def __init__(self, path: Path) -> None:
        self._open: dict[Opened, _Session] = {}
        self._file = open_private(path, os.O_RDWR)
        try:
            with self._locked():
                self._begin(path)
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self, path: Path) -> None:
        size = os.fstat(self._file).st_size
        if not size:
            self._put(0, _BEGIN)
            return
        with mmap.mmap(self._file, size, access=mmap.ACCESS_READ) as text:
            if text[: len(_BEGIN)] != _BEGIN:
                raise FileExistsError(0, "it is no HAR file of wsext-capture, and is left alone")
            if text[-len(_END) :] == _END:
                return
            at = size
            while at > len(_BEGIN) and not _is_entry(text[text.rfind(b"\n", 0, at) + 1 : at]):
                at = max(text.rfind(b"\n", 0, at), len(_BEGIN))
        os.ftruncate(self._file, at)
        self._put(at, b"")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _put(self, at: int, data: bytes) -> None:
        """Write something and the document's end; if it does not fit, the end alone."""
        data += _END
        os.lseek(self._file, at, os.SEEK_SET)
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(0, "the disk is full")
        except OSError:
            os.ftruncate(self._file, at)
            os.lseek(self._file, at, os.SEEK_SET)
            os.write(self._file, _END)
            raise

    def open(self, opened: Opened) -> None:
        """A session has opened."""
        self._open[opened] = _Session(opened.time)

    def frame(self, opened: Opened, record: Record) -> None:
        """A frame has travelled; from a browser's view, so a server's are turned round."""
        if record.opcode >= 8:
            return
        session = self._open[opened]
        sent = (record.way == "sent") == (opened.role == "client")
        text = record.opcode == 1
        data = record.payload.decode("utf-8", "replace") if text else None
        session.messages.append(
            {
                "type": "send" if sent else "receive",
                "time": record.time,
                "opcode": record.opcode,
                "data": base64.b64encode(record.payload).decode() if data is None else data,
                **({"_size": record.size} if record.size > len(record.payload) else {}),
            }
        )
        session.size += 100 + len(record.payload)
        if session.size >= _PART:
            self._add(opened, session, record.time, "goes on")
            self._open[opened] = _Session(record.time)

    def close(self, opened: Opened, now: float, code: int, reason: str) -> None:
        """A session has ended."""
        self._add(opened, self._open.pop(opened), now, f"closed with {code} {reason}".strip())

    def _add(self, opened: Opened, session: _Session, now: float, comment: str) -> None:
        headers = [{"name": name, "value": value} for name, value in opened.headers]
        answer = [{"name": "Upgrade", "value": "websocket"}]
        if opened.extensions:
            answer.append({"name": "Sec-WebSocket-Extensions", "value": opened.extensions})
        took = (now - session.start) * 1000
        entry = {
            "startedDateTime": _when(session.start),
            "time": took,
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
            "timings": {"send": 0, "wait": 0, "receive": took},
            "serverIPAddress": "",
            "connection": opened.id,
            "comment": comment,
            "_resourceType": "websocket",
            "_webSocketMessages": session.messages,
        }
        with self._locked():
            at = os.fstat(self._file).st_size - len(_END)
            self._put(at, (b"\n" if at == len(_BEGIN) else b"\n,") + msgspec.json.encode(entry))

    def finish(self) -> None:
        """No session is open."""
        os.close(self._file)
