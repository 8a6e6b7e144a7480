"""Reads what was captured: sessions, as whoever wants to repeat them needs them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Recorded", "Recording", "UnreadableRecording", "read_recordings"]


class UnreadableRecording(ValueError):
    """A file is no recording, or only a part of one; the text names the file and the line."""


@dataclass(slots=True)
class Recorded:
    """One frame of a recorded session.

    Attributes:
        time: Seconds since 1970.
        by_client: Whether the client has sent it.
        opcode: 0 to 15.
        fin: Whether it is the last of its message.
        payload: What was written of it.
        size: How many bytes it really had.
        place: Where it stands in the file.
    """

    time: float
    by_client: bool
    opcode: int
    fin: bool
    payload: bytes
    size: int
    place: str


@dataclass(slots=True)
class Recording:
    """One recorded session.

    Attributes:
        id: The session's.
        time: When it was opened, in seconds since 1970.
        url: Its address, as far as it was known.
        headers: Of the request; those that were left out are not among them.
        frames: In the order in which they travelled.
        end: When it ended; ``None`` if the file does not say.
        code: The close code; ``None`` if the file does not say.
    """

    id: str
    time: float
    url: str
    headers: list[tuple[str, str]]
    frames: list[Recorded] = field(default_factory=list)
    end: float | None = None
    code: int | None = None


def read_recordings(path: Path) -> list[Recording]:
    """The sessions of a file that `Capture` wrote as JSONL or HAR, in the order of their opening.

    HAR has neither pings nor Close frames, and not where messages were cut into fragments.

    Raises:
        OSError: If the file cannot be read.
        UnreadableRecording: If it is something else, or was not written to its end.
    """
    data = path.read_bytes()
    if data.startswith(b'{"event":'):
        found = _Lines(path).read(data)
    elif data.startswith(b'{"log":'):
        found = _read_har(path, data)
    elif data.startswith(b"\n\r\r\n"):
        raise UnreadableRecording(f"{path}: pcapng can be looked at only: record as .jsonl or .har")
    else:
        problem = "is not a recording of wsext-capture" if data else "is empty"
        raise UnreadableRecording(f"{path}: {problem}")
    if not found:
        raise UnreadableRecording(f"{path}: no session is recorded here")
    return sorted(found, key=lambda recording: recording.time)


# --- JSONL ------------------------------------------------------------------------------------


class _Event(msgspec.Struct, tag_field="event"):
    session: str
    time: float


class _Open(_Event, tag="open"):
    role: Literal["server", "client"]
    url: str
    headers: list[tuple[str, str]]


class _Frame(_Event, tag="frame"):
    way: Literal["sent", "received"]
    opcode: int
    fin: bool
    size: int
    text: str | None = None
    hex: str | None = None


class _Close(_Event, tag="close"):
    code: int


_decoder = msgspec.json.Decoder(_Open | _Frame | _Close)


class _Lines:
    """The events of a JSONL file, sorted into sessions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, tuple[Recording, str]] = {}

    def read(self, data: bytes) -> list[Recording]:
        found = []
        lines = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            place = f"{self._path}, line {number}"
            if number == len(lines):
                raise UnreadableRecording(f"{place}: it was not written to its end")
            try:
                event = _decoder.decode(line)
                if isinstance(event, _Open):
                    found.append(self._begin(event))
                else:
                    self._go_on(event, place)
            except KeyError:
                problem = f"session {event.session} was not opened before"
                raise UnreadableRecording(f"{place}: {problem}") from None
            except ValueError as error:
                raise UnreadableRecording(f"{place}: {error}") from None
        return found

    def _begin(self, event: _Open) -> Recording:
        headers = [(name, value) for name, value in event.headers if value != "[left out]"]
        recording = Recording(event.session, event.time, event.url, headers)
        self._open[event.session] = recording, event.role
        return recording

    def _go_on(self, event: _Frame | _Close, place: str) -> None:
        recording, role = self._open[event.session]
        if isinstance(event, _Close):
            recording.end, recording.code = event.time, event.code
            del self._open[event.session]
            return
        by_client = (event.way == "sent") == (role == "client")
        payload = bytes.fromhex(event.hex or "") if event.text is None else event.text.encode()
        recording.frames.append(
            Recorded(event.time, by_client, event.opcode, event.fin, payload, event.size, place)
        )


# --- HAR --------------------------------------------------------------------------------------


class _Message(msgspec.Struct, rename={"size": "_size"}):
    type: Literal["send", "receive"]
    time: float
    opcode: int
    data: str
    size: int | None = None  # if it was cut


class _Header(msgspec.Struct):
    name: str
    value: str


class _Request(msgspec.Struct):
    url: str
    headers: list[_Header]


class _Entry(msgspec.Struct, rename={"messages": "_webSocketMessages", "start": "startedDateTime"}):
    connection: str
    start: datetime
    time: float
    request: _Request
    comment: str
    messages: list[_Message]


class _Log(msgspec.Struct):
    entries: list[_Entry]


class _Har(msgspec.Struct):
    log: _Log


def _read_har(path: Path, data: bytes) -> list[Recording]:
    """The sessions of a HAR file; one with many messages has several entries."""
    try:
        entries = msgspec.json.decode(data, type=_Har).log.entries
    except ValueError as error:
        raise UnreadableRecording(f"{path}: {error}") from None
    found: list[Recording] = []
    going_on: dict[str, Recording] = {}
    for number, entry in enumerate(entries, 1):
        place = f"{path}, entry {number}"
        start = entry.start.timestamp()
        recording = going_on.pop(entry.connection, None)
        if recording is None:
            headers = [(each.name, each.value) for each in entry.request.headers]
            headers = [header for header in headers if header[1] != "[left out]"]
            recording = Recording(entry.connection, start, entry.request.url, headers)
            found.append(recording)
        try:
            recording.frames += [_frame(message, place) for message in entry.messages]
        except ValueError as error:
            raise UnreadableRecording(f"{place}: {error}") from None
        if entry.comment == "goes on":
            going_on[entry.connection] = recording
        elif entry.comment.startswith("closed with "):
            recording.end = start + entry.time / 1000
            recording.code = int(entry.comment.split(" ")[2])
    for recording in found:
        for by_client in (True, False):
            _join([frame for frame in recording.frames if frame.by_client is by_client])
    return found


def _frame(message: _Message, place: str) -> Recorded:
    data = message.data
    payload = data.encode() if message.opcode == 1 else base64.b64decode(data, validate=True)
    by_client = message.type == "send"
    size = len(payload) if message.size is None else message.size
    return Recorded(message.time, by_client, message.opcode, True, payload, size, place)


def _join(frames: Iterable[Recorded]) -> None:
    """Say of the frames of one side which of them end a message: HAR does not."""
    for frame, following in pairwise(frames):
        frame.fin = following.opcode != 0
