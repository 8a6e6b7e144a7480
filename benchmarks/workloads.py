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


_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india")


def _json(size: int, count: int) -> tuple[bytes, ...]:
    """Different documents of one shape, ``size`` bytes each, the same in every run."""
    draw = random.Random(7692)
    documents = []
    for _ in range(count):
        items: list[dict[str, object]] = []
        filled = 0
        while filled < size - 200:
            item: dict[str, object] = {
                "id": draw.randrange(10**9),
                "name": " ".join(draw.choices(_WORDS, k=3)),
                "price": round(draw.uniform(1, 500), 2),
                "stock": draw.randrange(100),
                "active": draw.random() < 0.7,
                "updated": f"2025-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}",
            }
            items.append(item)
            filled += len(json.dumps(item)) + 2
        room = size - len(json.dumps({"items": items, "note": ""}))
        note = " ".join(draw.choices(_WORDS, k=50))[:room]
        documents.append(json.dumps({"items": items, "note": note}).encode())
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
    "floor",
)
_ALL = _rows(*_WSEXT, *_PEERS)
_DEFLATE = _rows(*_WSEXT, "aiohttp-isal", *(n for n in _PEERS if n not in ("picows", "granian")))
_FORGETFUL = tuple(
    Row("socketify", "socketify-shared") if row.server == "socketify" else row for row in _DEFLATE
)  # its other kind of compressor, which it needs here
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
    Workload("handshake, one echo, close", _SMALL, 64, kind="connect", rows=_ALL),
    Workload("idle memory, 1,000 connections", _SMALL, 1000, kind="memory", rows=_ALL),
    Workload("idle memory, deflate agreed", _JSON_1K, 1000, kind="memory", deflate=TAKEOVER,
             rows=_DEFLATE),
    Workload("idle memory, deflate, one message each", _JSON_1K, 1000, kind="memory",
             deflate=TAKEOVER, talk=True, rows=_DEFLATE),
)  # fmt: skip
