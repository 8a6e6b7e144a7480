"""Frames as people see them, and a recorder that takes so many and counts the rest."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from wsext import RSV, Frame, Opcode, Session

__all__ = ["FrameSeen", "Recorder", "opcode_name", "preview"]

#: Frames that are recorded between two reports; every stage of a frame is one.
_MAX_FRAMES = 120

#: Characters of a payload that are shown.
_PREVIEW = 80


class FrameSeen(Struct):
    """One frame at one stage. Frames with one number are one frame on its way."""

    number: int
    time: float
    direction: str
    stage: str
    opcode: str
    fin: bool
    rsv: str
    size: int
    preview: str

    @classmethod
    def of(cls, frame: Frame, number: int, direction: str, stage: str, preview: str) -> FrameSeen:
        """A frame as it is now."""
        name, bits = opcode_name(frame.opcode), RSV(frame.rsv).names()
        return cls(
            number, time.time(), direction, stage, name, frame.fin, bits, frame.size, preview
        )


class Recorder:
    """Records one session's frames until it is told to end.

    A frame is recorded at all of its stages or at none, so that what is left out cannot mislead.

    Args:
        session: The session.
        payload: Whether payloads are shown.
    """

    def __init__(self, session: Session, payload: bool) -> None:
        self.id = session.id
        self.payload = payload
        self._seen: list[FrameSeen] = []
        self._left_out = 0
        self._number = 0
        self._current = {"in": 0, "out": 0}  # 0 while a frame is left out
        self.end: Callable[[], None] = session.trace(self._record)

    def take(self) -> tuple[list[FrameSeen], int]:
        """What was seen since the last time, and how many frames were left out."""
        taken, self._seen = self._seen, []
        left_out, self._left_out = self._left_out, 0
        return taken, left_out

    def _record(self, direction: str, stage: str, frame: Frame) -> None:
        if stage == ("wire" if direction == "in" else "app"):  # a frame sets out
            if len(self._seen) >= _MAX_FRAMES:
                self._left_out += 1
                self._current[direction] = 0
                return
            self._number += 1
            self._current[direction] = self._number
        number = self._current[direction]
        if number and len(self._seen) < 2 * _MAX_FRAMES:  # one may become many
            text = preview(frame, stage) if self.payload else ""
            self._seen.append(FrameSeen.of(frame, number, direction, stage, text))


def opcode_name(opcode: int) -> str:
    """``text``, ``ping``, or the number of an opcode that is an extension's."""
    try:
        return Opcode(opcode).name.lower()
    except ValueError:
        return f"0x{opcode:X}"


def preview(frame: Frame, stage: str, limit: int = _PREVIEW) -> str:
    """The beginning of a payload: text where it is text, a code for Close, else hexadecimal."""
    payload = bytes(frame.payload[: limit * 4])
    if frame.opcode == Opcode.CLOSE and len(payload) >= 2:
        reason = payload[2:].decode("utf-8", "replace")
        return f"{int.from_bytes(payload[:2], 'big')} {reason}".strip()[:limit]
    is_text = frame.opcode == Opcode.TEXT
    if not frame.rsv and (is_text or (stage == "app" and frame.opcode == Opcode.CONTINUATION)):
        return payload.decode("utf-8", "replace")[:limit]
    return payload[: limit // 3].hex(" ")
