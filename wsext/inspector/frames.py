"""Frames as people see them, and a recorder that keeps the last ones of a session."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from msgspec import Struct

from wsext import RSV, Frame, Opcode, Session

__all__ = [
    "FrameFollower",
    "FrameSeen",
    "Reader",
    "Recorder",
    "opcode_name",
    "preview",
]

#: Frames that a recorder keeps; each stage of a frame is one.
_MAX_FRAMES = 120

#: Characters of a payload that are shown, and the bytes that they may take in UTF-8.
_PREVIEW = 80
_HEAD = 4 * _PREVIEW


class FrameSeen(Struct):
    """One frame at one stage. Frames with one number are one frame on its way; ``unchanged`` says
    that the stage gave what it had got."""

    number: int
    time: float
    direction: str
    stage: str
    opcode: str
    fin: bool
    rsv: str
    size: int
    preview: str
    unchanged: bool


class FrameStep(NamedTuple):
    """One frame at one stage. Most of them are never shown, so none is made readable before.

    Attributes:
        number: The number of the frame on its way.
        time: When it was there.
        direction: ``in`` or ``out``.
        stage: The stage that it came out of.
        size: The bytes of its payload.
        head: The frame, with the beginning of its payload.
        unchanged: Whether it went into the stage just like that.
    """

    number: int
    time: float
    direction: str
    stage: str
    size: int
    head: Frame
    unchanged: bool

    @property
    def is_first(self) -> bool:
        """Whether a frame sets out here."""
        return self.stage == ("wire" if self.direction == "in" else "app")

    @property
    def is_last(self) -> bool:
        """Whether a frame arrives here."""
        return self.stage == ("app" if self.direction == "in" else "wire")

    def seen(self, payload: bool = True) -> FrameSeen:
        """The frame, made readable; with the beginning of its payload, or without."""
        head = self.head
        return FrameSeen(
            self.number, self.time, self.direction, self.stage, opcode_name(head.opcode),
            head.fin, RSV(head.rsv).names(), self.size,
            preview(head, self.stage) if payload else "", self.unchanged,
        )  # fmt: skip


class FrameFollower:
    """Follows the frames of one session from stage to stage.

    Args:
        payload: Whether the beginning of payloads is taken along.

    Attributes:
        count: How many frames have set out.
    """

    def __init__(self, payload: bool = True) -> None:
        self.count = 0
        self._head = _HEAD if payload else 0
        self._last: dict[str, tuple[int, Frame | None]] = {"in": (0, None), "out": (0, None)}

    def step(self, direction: str, stage: str, frame: Frame) -> FrameStep:
        """A frame is at a stage now."""
        number, before = self._last[direction]
        head = Frame(frame.opcode, bytes(frame.payload[: self._head]), frame.fin, frame.rsv)
        same = before is not None and _key(before) == _key(frame)
        step = FrameStep(number, time.time(), direction, stage, frame.size, head, same)
        if step.is_first:
            self.count += 1
            step = step._replace(number=self.count, unchanged=False)
        # The frame is let go at its last stage: it may be large, and the next one is far.
        self._last[direction] = step.number, None if step.is_last else frame
        return step


class Recorder:
    """Keeps the last frames of one session, at all of their stages, until it is told to end.

    Args:
        session: The session.
        payload: Whether the beginning of payloads is kept.

    Attributes:
        watchers: How many pages show it.
        position: How many steps of frames there were.
    """

    def __init__(self, session: Session, payload: bool) -> None:
        self.watchers = 0
        self.position = 0
        self._follower = FrameFollower(payload)
        self._steps: deque[FrameStep] = deque(maxlen=_MAX_FRAMES)
        self._end = session.trace(self._record)

    @property
    def count(self) -> int:
        """How many frames there were, also those that are not kept any more."""
        return self._follower.count

    def since(self, position: int) -> list[FrameStep]:
        """The steps after a position, as far as they are kept.

        A frame is there from its first step on or not at all: the rest of a way could mislead.
        """
        whole, found = set(), []
        for at, step in enumerate(self._steps, self.position - len(self._steps)):
            if step.is_first:
                whole.add(step.number)
            if at >= position and step.number in whole:
                found.append(step)
        return found

    def end(self) -> None:
        """Let go of the session. What was recorded stays."""
        self._end()
        self._end = _nothing

    def _record(self, direction: str, stage: str, frame: Frame) -> None:
        self.position += 1
        self._steps.append(self._follower.step(direction, stage, frame))


class Reader:
    """Gives one page what a recorder keeps, and then what is new.

    Args:
        recorder: Where the frames are kept.
        payload: Whether the beginning of payloads is shown, if it is kept.
    """

    def __init__(self, recorder: Recorder, payload: bool) -> None:
        self.recorder = recorder
        self._payload = payload
        self._position = 0
        kept = recorder.since(0)
        self._number = kept[0].number - 1 if kept else recorder.count

    def take(self) -> tuple[list[FrameSeen], int]:
        """What is new since the last time, and how many frames came and went meanwhile."""
        recorder = self.recorder
        steps = recorder.since(self._position)
        begun = {step.number for step in steps if step.number > self._number}
        left_out = recorder.count - self._number - len(begun)
        self._position, self._number = recorder.position, recorder.count
        return [step.seen(self._payload) for step in steps], left_out


def _nothing() -> None:
    pass


def _key(frame: Frame) -> tuple[object, ...]:
    """What travels of a frame."""
    return frame.opcode, frame.fin, frame.rsv, frame.payload


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
