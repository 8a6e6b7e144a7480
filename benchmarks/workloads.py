"""What is measured: the workloads, and the servers that take part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from messages import ORDER, documents, messages

__all__ = ["NO_TAKEOVER", "TAKEOVER", "WORKLOADS", "Row", "Workload"]

Kind = Literal["echo", "room", "connect", "memory", "pace", "client"]
Deflate = Literal["", "takeover", "no takeover"]
TAKEOVER: Deflate = "takeover"
NO_TAKEOVER: Deflate = "no takeover"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: For the table.
        server: Who serves; of a client's workload: the client.
        offers: Extensions that are offered to it beside the workload's own; they change no message.
        base: The line that it is compared with.
    """

    label: str
    server: str
    offers: tuple[str, ...] = ()
    base: str = "websockets"


@dataclass(frozen=True)
class Workload:
    """One kind of load.

    Attributes:
        name: For the tables, and for ``--only``.
        messages: What is sent, in turn.
        connections: How many at once.
        in_flight: Messages that each has under way.
        kind: What is counted: echoed messages, a room's deliveries (``room``), sessions
            (``connect``), idle memory, latency at a fixed rate (``pace``), or messages that a
            client exchanges with the server ``floor`` (``client``).
        deflate: Whether permessage-deflate is offered, and which way.
        zstd: Whether permessage-zstd is offered instead, without context takeover: ``plain``, or
            with the harness's ``dictionary``.
        path: What is asked for.
        transport: What is below: ``tls``, ``resume`` (TLS, its sessions resumed), or ``http2``.
        bridged: Rooms: whether who publishes is in another process, with a broker between.
        talk: Memory: whether each connection has exchanged a message.
        peak: Pace: the workload that tells how much a server can do at most, and
        share: how much of that is asked for, and
        of: whose peak that is; by default each server's own.
        group: The part of the page.
        rows: Who is measured.
    """

    name: str
    messages: tuple[bytes, ...]
    connections: int
    in_flight: int = 1
    kind: Kind = "echo"
    deflate: Deflate = ""
    zstd: Literal["", "plain", "dictionary"] = ""
    path: str = "/"
    transport: Literal["", "tls", "resume", "http2"] = ""
    bridged: bool = False
    talk: bool = False
    peak: str = ""
    share: float = 0.0
    of: str = ""
    group: str = "Echo"
    rows: tuple[Row, ...] = ()

    @property
    def unit(self) -> str:
        """What the figures count."""
        return {
            "room": "deliveries/s",
            "connect": "sessions/s",
            "memory": "KiB/connection",
            "pace": "µs at p99",
        }.get(self.kind, "messages/s")

    @property
    def is_room(self) -> bool:
        """Whether one connection publishes, and the others listen."""
        return self.kind == "room" or self.bridged

    @property
    def target(self) -> str:
        """What the connections ask for that receive."""
        return "/room" if self.is_room else self.path

    def rounds(self, asked: int) -> int:
        """How many rounds it gets: memory is much the same in each, and takes long."""
        return max(1, min(asked // 2, 2)) if self.kind == "memory" else asked

    @property
    def is_compressed(self) -> bool:
        """Whether a compression is offered."""
        return bool(self.deflate or self.zstd)

    @property
    def less_is_better(self) -> bool:
        """Whether the figures are a price."""
        return self.kind in ("memory", "pace")


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
_NO_OPS = ("x-noop0", "x-noop1", "x-noop2")
_STACKS = tuple(
    row
    for name in _WSEXT
    for row in (
        Row(name, name, base=name),
        Row(f"{name} +1 codec", name, _NO_OPS[:1], base=name),
        Row(f"{name} +3 codecs", name, _NO_OPS, base=name),
        Row(f"{name} +session-resume", name, ("session-resume",), base=name),
        Row(f"{name} +hook", f"{name}-hook", base=name),
    )
)

_COMPILED = tuple(row for row in _ALL if "-python" not in row.server)
_TLS = tuple(
    Row(name, f"{name}-tls")
    for name in ("wsext", "wsext-listener", "websockets", "picows", "aiohttp", "uvicorn", "ws")
)
_UVICORN = ("uvicorn-wsext", "uvicorn", "uvicorn-wsproto", "wsext")
_FASTAPI = ("fastapi-wsext", "fastapi", "fastapi-wsproto")
_UNDER_UVICORN = tuple(Row(name, name, base="uvicorn") for name in _UVICORN + _FASTAPI)
_H2 = tuple(Row(name, name, base="hypercorn") for name in ("wsext", "wsext-listener", "hypercorn"))
_TYPED = _rows("wsext", "websockets", "picows", "aiohttp", "fastapi", "fastapi-wsext")
_CLIENTS = tuple(
    Row(name, f"client-{name}")
    for name in ("wsext", "wsext-listener", "websockets", "picows", "picows-api", "aiohttp")
)
_ROOMS = _rows("wsext", "wsext-listener", "websockets", "picows", "aiohttp", "socketify", "floor")
_LARGE_ROOMS = _rows("wsext", "wsext-listener", "websockets", "socketify", "floor")
_MANY_ROOMS = _rows("wsext", "websockets")
_OWN_ZSTD = tuple(Row(name, name, base="wsext") for name in ("wsext", "wsext-listener"))

_SMALL = (b"x" * 64,)
_NEWS, _FEED = documents(64, 1024), messages(512)
_JSON_1K, _JSON_64K = documents(1024, 64), documents(65536, 4)


def _paced(connections: int) -> tuple[Workload, ...]:
    """Latency at shares of each server's peak, and at half of the peak of websockets."""
    peak = f"64 B, {connections:,} connections"
    of_own = tuple(
        Workload(f"{connections:,} connections, {share:.0%} of its own peak", _SMALL, connections,
                 kind="pace", peak=peak, share=share, group="Latency", rows=_COMPILED)
        for share in (0.25, 0.5, 0.75, 0.9)
    )  # fmt: skip
    half = f"{connections:,} connections, 50% of the peak of websockets"
    return (*of_own, Workload(half, _SMALL, connections, kind="pace", peak=peak, share=0.5,
                              of="websockets", group="Latency", rows=_COMPILED))  # fmt: skip


def _bridged(broker: str, by_hand: str) -> tuple[Workload, ...]:
    """What gets from one process to another through a broker; ``by_hand`` is its limit."""
    rows = tuple(Row(name, f"{name}-{broker}", base=by_hand) for name in ("wsext", by_hand))
    peak = f"{broker}, 16 in flight"
    return (
        Workload(peak, _SMALL, 1, 16, kind="room", bridged=True, group="Backplanes", rows=rows),
        Workload(f"{broker}, 50% of its own peak", _SMALL, 1, kind="pace", bridged=True,
                 peak=peak, share=0.5, group="Backplanes", rows=rows),
    )  # fmt: skip


_ECHO = (
    Workload("64 B, 1 connection", _SMALL, 1, rows=_ALL),
    Workload("64 B, 64 connections", _SMALL, 64, rows=_ALL),
    Workload("64 B, 1,000 connections", _SMALL, 1000, rows=_COMPILED),
    Workload("64 B, 64 connections, 16 in flight", _SMALL, 64, 16, rows=_ALL),
    Workload("1 KiB, 64 connections", (b"x" * 1024,), 64, rows=_ALL),
    Workload("64 KiB, 16 connections", (b"x" * 65536,), 16, rows=_ALL),
    Workload("1 MiB, 4 connections", (b"x" * (1 << 20),), 4, rows=_ALL),
    Workload("extensions, 64 B, 64 connections", _SMALL, 64, rows=_STACKS),
    Workload("typed messages, 64 connections", (ORDER,), 64, path="/typed", rows=_TYPED),
)
_COMPRESSED = tuple(
    replace(workload, group="Compression")
    for workload in (
        Workload("deflate, 1 KiB of JSON", _JSON_1K, 64, deflate=TAKEOVER, rows=_DEFLATE),
        Workload("deflate, 64 KiB of JSON", _JSON_64K, 16, deflate=TAKEOVER, rows=_DEFLATE),
        Workload("deflate, 1 KiB of JSON, no context takeover", _JSON_1K, 64, deflate=NO_TAKEOVER,
                 rows=_FORGETFUL),
        Workload("deflate, 64 KiB of JSON, no context takeover", _JSON_64K, 16,
                 deflate=NO_TAKEOVER, rows=_FORGETFUL),
        Workload("deflate, short JSON, no context takeover", _FEED, 64, deflate=NO_TAKEOVER,
                 rows=_OWN_ZSTD),
        Workload("zstd, short JSON", _FEED, 64, zstd="plain",
                 rows=_OWN_ZSTD),
        Workload("zstd with a dictionary, short JSON", _FEED, 64,
                 zstd="dictionary", rows=_OWN_ZSTD),
    )
)  # fmt: skip
_BROADCAST = tuple(
    replace(workload, group="Broadcast")
    for workload in (
        Workload("broadcast, 64 B to 500", _NEWS, 500, 2, kind="room", rows=_ALL),
        Workload("broadcast, 64 B to 500, deflate", _NEWS, 500, 2, kind="room", deflate=TAKEOVER,
                 rows=_FORGETFUL),
        Workload("broadcast, 64 B to 500, one at a time", _NEWS, 500, kind="room", rows=_ALL),
        Workload("broadcast, 64 B to 500, one at a time, deflate, no context takeover", _NEWS, 500,
                 kind="room", deflate=NO_TAKEOVER, rows=_FORGETFUL),
        Workload("broadcast, short JSON to 500, deflate", _FEED, 500, 2, kind="room",
                 deflate=TAKEOVER, rows=_FORGETFUL),
        *(
            Workload(f"broadcast, 64 B to {members:,}", _SMALL, members, 2, kind="room",
                     rows=_LARGE_ROOMS if members > 1000 else _ROOMS)
            for members in (10, 100, 1000, 10_000)
        ),
        *(
            Workload(f"1 of {rooms:,} rooms", _SMALL, 50, path=f"/rooms/{rooms}",
                     rows=_MANY_ROOMS)
            for rooms in (50, 1000, 10_000)
        ),
    )
)  # fmt: skip
_FRONTS = tuple(
    replace(workload, group="Other fronts")
    for workload in (
        Workload("under uvicorn, 64 B, 64 connections", _SMALL, 64, rows=_UNDER_UVICORN),
        Workload("under uvicorn, 64 B, 16 in flight", _SMALL, 64, 16, rows=_UNDER_UVICORN),
        Workload("under uvicorn, deflate, 1 KiB of JSON", _JSON_1K, 64, deflate=TAKEOVER,
                 rows=_UNDER_UVICORN),
        Workload("TLS, 64 B, 64 connections", _SMALL, 64, transport="tls", rows=_TLS),
        Workload("TLS, 64 KiB, 16 connections", (b"x" * 65536,), 16, transport="tls", rows=_TLS),
        Workload("HTTP/2, 64 B, 64 connections", _SMALL, 64, transport="http2", rows=_H2),
        Workload("client, 64 B, 64 connections", _SMALL, 64, kind="client", rows=_CLIENTS),
    )
)  # fmt: skip
_SESSIONS = tuple(
    replace(workload, group="Handshakes and memory")
    for workload in (
        Workload("handshake, one echo, close", _SMALL, 64, kind="connect", rows=_ALL),
        Workload("TLS: handshake, one echo, close", _SMALL, 64, kind="connect", transport="tls",
                 rows=_TLS),
        Workload("TLS, resumed: handshake, one echo, close", _SMALL, 64, kind="connect",
                 transport="resume", rows=_TLS),
        Workload("idle memory, 1,000 connections", _SMALL, 1000, kind="memory",
                 rows=(*_ALL, Row("wsext +session-resume", "wsext", ("session-resume",)))),
        Workload("idle memory, TLS", _SMALL, 1000, kind="memory", transport="tls", rows=_TLS),
        Workload("idle memory, deflate agreed", _JSON_1K, 1000, kind="memory", deflate=TAKEOVER,
                 rows=_DEFLATE),
        Workload("idle memory, deflate, one message each", _JSON_1K, 1000, kind="memory",
                 deflate=TAKEOVER, talk=True, rows=_DEFLATE),
        Workload("idle memory, HTTP/2, a stream each", _SMALL, 1000, kind="memory",
                 transport="http2", rows=_H2),
    )
)  # fmt: skip

WORKLOADS = (
    *_ECHO,
    *_COMPRESSED,
    *_BROADCAST,
    *_paced(64),
    *_paced(1000),
    *_FRONTS,
    *_bridged("redis", "redis-py"),
    *_bridged("nats", "nats-py"),
    *_SESSIONS,
)
