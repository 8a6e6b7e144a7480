"""Every byte of a connection, in a form that people read."""

from __future__ import annotations

from dataclasses import dataclass

from wsext.errors import ProtocolError
from wsext.protocol.codes import RSV, Opcode
from wsext.protocol.frames import Frame
from wsext.protocol.wire import FrameParser
from wsext.testing.engines import lenient_parser

__all__ = ["Transcript", "TranscriptEntry"]

_ARROWS = {"client": "→", "server": "←"}


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One thing that travelled.

    Attributes:
        side: ``"client"`` or ``"server"``: who sent it.
        text: A line of the handshake, or what is not a frame; empty for a frame.
        frame: The frame, unmasked, as it was on the wire.
    """

    side: str
    text: str = ""
    frame: Frame | None = None

    def __str__(self) -> str:
        arrow = _ARROWS[self.side]
        if self.frame is None:
            return f"{arrow} {self.text}"
        frame = self.frame
        try:
            name = Opcode(frame.opcode).name
        except ValueError:
            name = f"0x{frame.opcode:X}"
        marks = ["FIN"] if frame.fin else ["..."]
        if frame.rsv:
            marks.append(RSV(frame.rsv).names())
        size = len(frame.payload)
        shown = _show(frame)
        return f"{arrow} {name:12} {' '.join(marks):8} {size:>6}{'  ' + shown if shown else ''}"


def _show(frame: Frame) -> str:
    payload = bytes(frame.payload)
    if frame.opcode == Opcode.CLOSE and len(payload) >= 2:
        return f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode('utf-8', 'replace')}"
    if not frame.rsv and frame.opcode != Opcode.BINARY:
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if text and text.isprintable():
            return repr(text if len(text) <= 60 else text[:57] + "...")
    return payload[:24].hex(" ") + (" ..." if len(payload) > 24 else "")


class _Side:
    """What one side has sent so far."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.head = b""
        self.shaken = False
        self.raw = bytearray()
        self.parser: FrameParser | None = lenient_parser(masked=side == "client")


class Transcript:
    """Records both directions; `str` of it is the whole conversation.

    Attributes:
        entries: Handshake lines and frames, in the order in which they were written.
    """

    def __init__(self) -> None:
        self.entries: list[TranscriptEntry] = []
        self._sides = {side: _Side(side) for side in _ARROWS}

    def record(self, side: str, data: bytes) -> None:
        """Take bytes that one side wrote."""
        state = self._sides[side]
        state.raw += data
        if not state.shaken:
            state.head += data
            head, end, rest = state.head.partition(b"\r\n\r\n")
            if not end:
                return
            state.shaken = True
            for line in head.decode("latin-1").split("\r\n"):
                self.entries.append(TranscriptEntry(side, line))
            data = rest
        if data:
            self._record_frames(state, data)

    def _record_frames(self, state: _Side, data: bytes) -> None:
        frames: list[Frame] = []
        problem = ""
        if state.parser is not None:
            try:
                state.parser.feed(data, frames)
            except ProtocolError as error:
                problem = error.reason
                state.parser = None
        else:
            problem = "after an error"
        self.entries += [TranscriptEntry(state.side, frame=frame) for frame in frames]
        if problem:
            self.entries.append(TranscriptEntry(state.side, f"{len(data)} bytes, {problem}"))

    def raw(self, side: str) -> bytes:
        """Every byte that one side wrote, handshake included."""
        return bytes(self._sides[side].raw)

    def frames(self, side: str) -> list[Frame]:
        """The frames that one side sent, as they were on the wire."""
        return [entry.frame for entry in self.entries if entry.frame and entry.side == side]

    def __str__(self) -> str:
        return "\n".join(map(str, self.entries))
