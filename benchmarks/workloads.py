"""What is measured: the workloads, the servers that take part, and the messages."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass
from typing import Literal

__all__ = ["NO_TAKEOVER", "TAKEOVER", "WORKLOADS", "Row", "Workload", "reference_size"]

Kind = Literal["echo", "room", "connect", "memory"]
Deflate = Literal["", "takeover", "no takeover"]
TAKEOVER: Deflate = "takeover"
NO_TAKEOVER: Deflate = "no takeover"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: For the table.
        server: Who serves.
        no_ops: How many no-op extensions are offered to it.
        base: The line that it is compared with.
    """

    label: str
    server: str
    no_ops: int = 0
    base: str = "websockets"


@dataclass(frozen=True)
class Workload:
    """One kind of load.

    Attributes:
        name: For the tables, and for ``--only``.
        messages: What is sent, in turn.
        connections: How many at once.
        in_flight: Messages that each has under way.
        kind: Echo, broadcast (``room``), connect rate, or idle memory.
        deflate: Whether permessage-deflate is offered, and which way.
        talk: Memory: whether each connection has exchanged a message.
        rows: Who is measured.
    """

    name: str
    messages: tuple[bytes, ...]
    connections: int
    in_flight: int = 1
    kind: Kind = "echo"
    deflate: Deflate = ""
    talk: bool = False
    rows: tuple[Row, ...] = ()

    @property
    def unit(self) -> str:
        """What the figures count."""
        return {
            "echo": "messages/s",
            "room": "deliveries/s",
            "connect": "sessions/s",
            "memory": "KiB/connection",
        }[self.kind]


_COMMON = """
the of and to in is it you that he was for on are with as his they be at one have this from or had
by hot but some what there we can out other were all your when up use word how said an each she
which do their time if will way about many then them would write like so these her long
"""
_WORDS = _COMMON.split()


def _text(draw: random.Random, size: int) -> str:
    return " ".join(draw.choices(_WORDS, k=size // 2 + 1))[:size]


def _chat(draw: random.Random) -> dict[str, object]:
    return {
        "id": f"{draw.getrandbits(128):032x}",
        "author": {"id": draw.randrange(10**8), "name": draw.choice(_WORDS).title()},
        "text": _text(draw, draw.randrange(20, 150)),
        "created_at": f"2026-11-{draw.randrange(1, 31):02}T12:{draw.randrange(60):02}:07.113Z",
        "reactions": [{"emoji": ":+1:", "count": draw.randrange(9)}],
    }


def _book(draw: random.Random) -> dict[str, object]:
    price = draw.uniform(1, 1000)
    levels = [[f"{price - n / 100:.2f}", f"{draw.uniform(0, 3):.3f}"] for n in range(10)]
    return {"e": "depth", "s": "EURUSD", "u": draw.randrange(10**9), "b": levels}


def _telemetry(draw: random.Random) -> dict[str, object]:
    return {
        "device": f"sensor-{draw.randrange(500):04}",
        "timestamp": 1700000000000 + draw.randrange(10**9),
        "temperature": round(draw.uniform(20, 25), 2),
        "humidity": round(draw.uniform(40, 50), 1),
        "location": {"lat": round(draw.uniform(52, 53), 6), "lon": round(draw.uniform(13, 14), 6)},
        "status": draw.choice(["ok", "ok", "ok", "warning"]),
    }


def _item(draw: random.Random) -> dict[str, object]:
    number = draw.randrange(10_000)
    return {"id": number, "name": f"item {number}", "price": number * 1.25, "tags": ["a", "b"]}


def _json(size: int, count: int) -> tuple[bytes, ...]:
    """Different documents of four kinds in turn, ``size`` bytes each, the same in every run."""
    draw = random.Random(7692)
    documents = []
    for number in range(count):
        kind = (_chat, _book, _telemetry, _item)[number % 4]
        records: list[dict[str, object]] = []
        room = size - len(json.dumps({"records": [], "note": ""}))
        while True:
            record = kind(draw)
            taken = len(json.dumps(record)) + (2 if records else 0)
            if taken > room:
                break
            records.append(record)
            room -= taken
        documents.append(json.dumps({"records": records, "note": _text(draw, room)}).encode())
    return tuple(documents)


def reference_size(messages: tuple[bytes, ...], deflate: Deflate) -> float:
    """Bytes per message of zlib at level 6 with its defaults, once its window is full."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    size = 0
    for turn in range(2):
        for message in messages:
            if deflate == NO_TAKEOVER:
                packer = zlib.compressobj(6, zlib.DEFLATED, -15)
            out = len(packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)) - 4
            size += out * turn
    return size / len(messages)


def _rows(*names: str) -> tuple[Row, ...]:
    return tuple(Row(name, name) for name in names)


_WSEXT = ("wsext", "wsext-listener", "wsext-python", "wsext-listener-python")
_PEERS = (
    "websockets",
    "picows",
    "picows-api",
    "aiohttp",
    "uvicorn",
    "uvicorn-wsproto",
    "granian",
    "socketify",
    "tornado",
    "ws",
    "bun",
    "gorilla",
    "fastwebsockets",
    "tungstenite",
    "jetty",
    "ktor",
    "floor",
)
_PLAIN = ("picows", "granian", "fastwebsockets", "tungstenite")  # they have no permessage-deflate
_SHARED = ("socketify", "bun")  # their shared kind of compressor is needed without takeover
_ALL = _rows(*_WSEXT, *_PEERS)
_DEFLATE = _rows(*_WSEXT, "aiohttp-isal", *(name for name in _PEERS if name not in _PLAIN))
_FORGETFUL = tuple(
    Row(row.label, f"{row.server}-shared") if row.server in _SHARED else row for row in _DEFLATE
)
_STACKS = tuple(
    row
    for name in _WSEXT
    for row in (
        Row(name, name, base=name),
        Row(f"{name} +1 codec", name, 1, base=name),
        Row(f"{name} +3 codecs", name, 3, base=name),
        Row(f"{name} +hook", f"{name}-hook", base=name),
    )
)

_SMALL = (b"x" * 64,)
_NEWS = tuple(_json(64, 16))
_JSON_1K, _JSON_64K = _json(1024, 64), _json(65536, 4)

WORKLOADS = (
    Workload("64 B, 1 connection", _SMALL, 1, rows=_ALL),
    Workload("64 B, 64 connections", _SMALL, 64, rows=_ALL),
    Workload("64 B, 512 connections", _SMALL, 512, rows=_ALL),
    Workload("64 B, 64 connections, 16 in flight", _SMALL, 64, 16, rows=_ALL),
    Workload("1 KiB, 64 connections", (b"x" * 1024,), 64, rows=_ALL),
    Workload("64 KiB, 16 connections", (b"x" * 65536,), 16, rows=_ALL),
    Workload("1 MiB, 4 connections", (b"x" * (1 << 20),), 4, rows=_ALL),
    Workload("extensions, 64 B, 64 connections", _SMALL, 64, rows=_STACKS),
    Workload("deflate, 1 KiB of JSON", _JSON_1K, 64, deflate=TAKEOVER, rows=_DEFLATE),
    Workload("deflate, 64 KiB of JSON", _JSON_64K, 16, deflate=TAKEOVER, rows=_DEFLATE),
    Workload("deflate, 1 KiB of JSON, no context takeover", _JSON_1K, 64, deflate=NO_TAKEOVER,
             rows=_FORGETFUL),
    Workload("deflate, 64 KiB of JSON, no context takeover", _JSON_64K, 16, deflate=NO_TAKEOVER,
             rows=_FORGETFUL),
    Workload("broadcast, 64 B to 500", _NEWS, 500, 2, kind="room", rows=_ALL),
    Workload("broadcast, 64 B to 500, deflate", _NEWS, 500, 2, kind="room", deflate=TAKEOVER,
             rows=_FORGETFUL),
    Workload("broadcast, 64 B to 500, one at a time", _NEWS, 500, kind="room", rows=_ALL),
    Workload("broadcast, 64 B to 500, one at a time, deflate, no context takeover", _NEWS, 500,
             kind="room", deflate=NO_TAKEOVER, rows=_FORGETFUL),
    Workload("handshake, one echo, close", _SMALL, 64, kind="connect", rows=_ALL),
    Workload("idle memory, 1,000 connections", _SMALL, 1000, kind="memory", rows=_ALL),
    Workload("idle memory, deflate agreed", _JSON_1K, 1000, kind="memory", deflate=TAKEOVER,
             rows=_DEFLATE),
    Workload("idle memory, deflate, one message each", _JSON_1K, 1000, kind="memory",
             deflate=TAKEOVER, talk=True, rows=_DEFLATE),
)  # fmt: skip
