"""Recordings of an echo that nobody had to wait for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from wsext_capture import Recorded, Recording

__all__ = ["BEGIN", "an_hour", "as_jsonl", "recording"]

#: When they were made, in seconds since 1970.
BEGIN = 1_700_000_000.0


def recording(*frames: tuple[float, str, int, bool, bytes], end: float | None = None) -> Recording:
    """A recording; a frame is its time, ``c`` or ``s``, opcode, whether it ends, and payload."""
    return Recording(
        "s1",
        BEGIN,
        "ws://recorded.example/echo",
        [],
        [
            Recorded(BEGIN + time, side == "c", opcode, fin, payload, len(payload), f"{number}")
            for number, (time, side, opcode, fin, payload) in enumerate(frames, 1)
        ],
        None if end is None else BEGIN + end,
        None if end is None else 1000,
    )


def an_hour(every: float) -> Recording:
    """An hour of text, binary, fragments, and pings of both sides, one of them every so often."""

    def frames() -> Iterator[tuple[float, str, int, bool, bytes]]:
        for number in range(int(3600 / every)):
            time, payload = number * every, f"message {number}".encode()
            kind = number % 4
            if kind == 0:
                yield from ((time, "c", 1, True, payload), (time + 0.1, "s", 1, True, payload))
            elif kind == 1:
                yield from ((time, "c", 2, False, payload), (time + 0.5, "c", 0, False, b""))
                yield from (
                    (time + 0.9, "c", 0, True, payload),
                    (time + 1, "s", 2, True, payload * 2),
                )
            elif kind == 2:
                yield from ((time, "c", 9, True, payload), (time + 0.1, "s", 10, True, payload))
            else:
                yield from ((time, "s", 9, True, payload), (time + 0.1, "c", 10, True, payload))
        yield from ((3600, "c", 8, True, b"\x03\xe8bye"), (3600, "s", 8, True, b"\x03\xe8bye"))

    return recording(*frames(), end=3600)


def as_jsonl(recorded: Recording) -> bytes:
    """A recording as wsext-capture writes it, on the server's side."""
    session = {"session": recorded.id}
    opened = {"role": "server", "url": recorded.url, "headers": recorded.headers}
    events: list[dict[str, object]] = [
        {"event": "open", **session, "time": recorded.time, **opened}
    ]
    for frame in recorded.frames:
        way = "received" if frame.by_client else "sent"
        about = {"opcode": frame.opcode, "fin": frame.fin, "size": frame.size}
        content = {"hex": frame.payload.hex()}
        events.append(
            {"event": "frame", **session, "time": frame.time, "way": way, **about, **content}
        )
    if recorded.end is not None:
        events.append({"event": "close", **session, "time": recorded.end, "code": recorded.code})
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)
