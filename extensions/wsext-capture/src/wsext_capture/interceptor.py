"""The interceptor: gathers what the writers write."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from wsext import CloseInfo, Frame, Interceptor, OptionSet, Session, hookimpl, local
from wsext_capture.har import HarWriter
from wsext_capture.jsonl import JsonlWriter
from wsext_capture.pcapng import PcapngWriter
from wsext_capture.records import Opened, Record

__all__ = ["Capture", "CaptureOptions"]

logger = logging.getLogger("wsext_capture")

#: Bytes that an event takes beside what a peer has sent, about.
_EVENT = 200

_WRITERS = {"jsonl": JsonlWriter, "har": HarWriter, "pcapng": PcapngWriter}


class CaptureOptions(OptionSet):
    """The options of `Capture`."""

    path: Annotated[str, local("the file to write", min_length=1)] = "wsext-capture.jsonl"
    format: Annotated[
        Literal["auto", "jsonl", "har", "pcapng"], local("auto goes by the file's suffix")
    ] = "auto"
    max_payload: Annotated[
        int, local("bytes of each payload that are written", ge=0, le=1 << 26)
    ] = 65536
    max_bytes: Annotated[
        int, local("bytes to write in all, about; nothing more after that", ge=1)
    ] = 1 << 30
    headers: Annotated[bool, local("whether Cookie and Authorization headers are written, too")] = (
        False
    )

    def check(self) -> None:
        if self.format == "auto" and Path(self.path).suffix.lstrip(".") not in _WRITERS:
            raise ValueError(
                f"{self.path}: name it .jsonl, .har or .pcapng, or set the option format"
            )


class Capture(Interceptor):
    """Writes every frame of every session, as the application sees it: decoded on the way in, not
    yet encoded on the way out.

    The file is added to, and is open only while a session is. A new one can be read by its owner
    only. A file that cannot be written is reported once, and sessions go on without.
    """

    name: ClassVar[str] = "capture"
    Options: ClassVar[type[OptionSet]] = CaptureOptions
    options: CaptureOptions

    def setup(self) -> None:
        options = self.options
        kind = options.format
        if kind == "auto":
            kind = Path(options.path).suffix.lstrip(".")  # type: ignore[assignment]
        self._make: Any = _WRITERS[kind]
        self._writer: Any = None
        self._failed = False
        self._written = 0
        self._opened: WeakKeyDictionary[Session, Opened] = WeakKeyDictionary()

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        opened = Opened.of(session, time.time(), self.options.headers)
        if not self._has_room(sum(len(name) + len(value) for name, value in opened.headers)):
            return
        self._opened[session] = opened
        self._write("open", opened)

    @hookimpl
    def wsext_frame_received(self, session: Session, frame: Frame) -> None:
        self._record(session, "received", frame)

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> None:
        self._record(session, "sent", frame)

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        opened = self._opened.pop(session, None)
        if opened is not None:
            self._write("close", opened, time.time(), info.code, info.reason)
        if not self._opened and self._writer is not None:
            self._writer.finish()
            self._writer = None  # the next session opens the file again

    def _record(self, session: Session, way: str, frame: Frame) -> None:
        opened = self._opened.get(session)
        if opened is None:
            return
        payload = bytes(frame.payload[: self.options.max_payload])
        if not self._has_room(len(payload)):
            return
        record = Record(
            time.time(), way, frame.opcode, frame.fin, payload, len(frame.payload), frame.meta
        )
        self._write("frame", opened, record)

    def _has_room(self, size: int) -> bool:
        """Whether one more event may be written, with so many bytes of a peer's in it."""
        has_room = self._written <= self.options.max_bytes
        self._written += (size + _EVENT) * has_room
        return has_room

    def _write(self, method: str, *arguments: Any) -> None:
        if self._failed:
            return
        try:
            if self._writer is None:
                self._writer = self._make(Path(self.options.path))
            getattr(self._writer, method)(*arguments)
        except OSError as error:
            self._failed = True
            logger.error("cannot write %s: %s; no more is captured", self.options.path, error)
