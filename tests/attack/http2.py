"""Attacks with frames of HTTP/2 (RFC 9113)."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

from hpack import Encoder

from tests.attack.peers import Peer
from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target
from tests.raw import masked

PROMISE = "HTTP/2: streams, resets, control frames, windows"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CALM = 11  # ENHANCE_YOUR_CALM


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113 §4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def fields(path: str = "/", *more: tuple[str, str]) -> tuple[bytes, bytes]:
    """A WebSocket's request: the first one of a connection, and each one after it."""
    encoder = Encoder()
    request = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
        *more,
    ]
    return encoder.encode(request), encoder.encode(request)


FIRST, NEXT = fields()
RESET = frame(RST, 0, 0, (8).to_bytes(4, "big"))


def on(stream: int, data: bytes) -> bytes:
    """A frame, moved to a stream."""
    return data[:5] + stream.to_bytes(4, "big") + data[9:]


class Connection:
    """HTTP/2 by the byte, with what the server says at its end."""

    def __init__(self, target: Target, peer: Peer) -> None:
        self.peer = peer
        self.code: int | None = None  # of the server's GOAWAY
        self.answered = asyncio.Event()  # a HEADERS or RST_STREAM frame has come, or the end
        peer.send(PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK))
        self.reading = target.start(self._read(peer.reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(*DROPPED):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == GOAWAY:
                    self.code = int.from_bytes(payload[4:8], "big")
                elif head[3] in (HEADERS, RST):
                    self.answered.set()
        self.answered.set()

    async def open(self, stream: int = 1, block: bytes = FIRST) -> None:
        """Open a WebSocket, and wait for the answer."""
        await self.peer.push(frame(HEADERS, END_HEADERS, stream, block))
        await self.answered.wait()

    async def flood(self, target: Target, data: bytes) -> None:
        """Send the same again and again until the time is over or the connection is."""
        with suppress(*DROPPED):
            while target.time_is_left and not self.reading.done():
                await self.peer.push(data)
                await asyncio.sleep(0)


async def connection(target: Target) -> Connection:
    return Connection(target, await target.tcp())


async def again(target: Target, once: Any, count: int = 1) -> set[int | None]:
    """Do it on so many connections at a time, again and again; the codes of GOAWAY frames."""
    codes: set[int | None] = set()

    async def one(number: int) -> None:
        while target.time_is_left:
            with suppress(*DROPPED):
                conn = await connection(target)
                await once(conn)
                await asyncio.wait([conn.reading], timeout=2)
                if conn.reading.done():
                    codes.add(conn.code)
                conn.peer.close()

    await target.each(count, one)
    return codes


def flooding(name: str, data: bytes, *, opens: bool = False, connections: int = 2) -> None:
    """An attack of one frame, or a few, for ever."""

    @attack(name, PROMISE, fronts=("http2",), sessions=connections)
    async def run(target: Target) -> None:
        async def once(conn: Connection) -> None:
            if opens:
                await conn.open()
            await conn.flood(target, data)

        codes = await again(target, once, connections)
        assert codes, "the connection was not ended"


flooding("HTTP/2: PING frames", frame(PING, 0, 0, bytes(8)) * 2000)
flooding("HTTP/2: acknowledgements of no PING", frame(PING, ACK, 0, bytes(8)) * 2000)
flooding("HTTP/2: SETTINGS frames", frame(SETTINGS, 0, 0, b"\x00\x04\x00\x01\x00\x00") * 2000)
flooding("HTTP/2: empty SETTINGS frames", frame(SETTINGS) * 2000)
flooding("HTTP/2: acknowledgements of no SETTINGS", frame(SETTINGS, ACK) * 2000)
flooding("HTTP/2: PRIORITY frames", frame(PRIORITY, 0, 3, bytes(4) + b"\x10") * 2000)
flooding("HTTP/2: WINDOW_UPDATE frames", frame(WINDOW, 0, 0, b"\x00\x00\x00\x01") * 2000)
flooding("HTTP/2: unknown frames", frame(0x77, 0, 0, bytes(10)) * 2000)
flooding("HTTP/2: empty DATA frames", frame(DATA, 0, 1) * 2000, opens=True)
flooding(
    "HTTP/2: WINDOW_UPDATE of a stream", frame(WINDOW, 0, 1, b"\x00\x00\x00\x01") * 2000, opens=True
)
flooding(
    "HTTP/2: DATA on a stream that was reset",
    on(1, RESET) + frame(DATA, 0, 1, b"x") * 2000,
    opens=True,
)
flooding(
    "HTTP/2: HEADERS on a stream that was reset",
    on(1, RESET) + frame(HEADERS, END_HEADERS | END_STREAM, 1, NEXT) * 2000,
    opens=True,
)
flooding("HTTP/2: resets of a stream that was reset", on(1, RESET) * 2000, opens=True)
flooding(
    "HTTP/2: CONTINUATION frames without end",
    frame(HEADERS, 0, 1, FIRST) + frame(CONTINUATION, 0, 1, b"") * 5000,
)
flooding(
    "HTTP/2: CONTINUATION frames of 16 KiB",
    frame(HEADERS, 0, 1, FIRST) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3000) * 5000,
)
flooding("HTTP/2: DATA on stream 0", frame(DATA, 0, 0, b"x"))
flooding("HTTP/2: a push promise", frame(PUSH, END_HEADERS, 1, b"\x00\x00\x00\x02" + FIRST))
flooding("HTTP/2: frames of more than 64 KiB", frame(DATA, 0, 1, bytes(1 << 17)))


@attack(
    "HTTP/2: DATA frames of a few bytes on a session",
    PROMISE,
    fronts=("http2",),
    sessions=2,
)
async def tiny_data(target: Target) -> None:
    small = masked(2, b"x")
    data = b"".join(frame(DATA, 0, 1, bytes([byte])) for byte in small) * 300

    async def once(conn: Connection) -> None:
        await conn.open()
        await conn.flood(target, data)

    await again(target, once, 2)


@attack("HTTP/2: streams that are opened and reset", PROMISE, fronts=("http2",), sessions=8)
async def rapid_reset(target: Target) -> None:
    pairs = [
        frame(HEADERS, END_HEADERS, stream, NEXT) + on(stream, RESET)
        for stream in range(3, 20_000, 2)
    ]
    data = frame(HEADERS, END_HEADERS, 1, FIRST) + b"".join(pairs)

    async def once(conn: Connection) -> None:
        await conn.peer.push(data)

    codes = await again(target, once, 4)
    assert codes <= {CALM, None}, codes
    assert codes, "no connection was ended"


@attack("HTTP/2: streams that the server has to reset", PROMISE, fronts=("http2",), sessions=8)
async def made_you_reset(target: Target) -> None:
    overflow = b"\x7f\xff\xff\xff"
    pairs = [
        frame(HEADERS, END_HEADERS, stream, NEXT) + frame(WINDOW, 0, stream, overflow) * 2
        for stream in range(3, 10_000, 2)
    ]
    data = frame(HEADERS, END_HEADERS, 1, FIRST) + b"".join(pairs)

    async def once(conn: Connection) -> None:
        await conn.peer.push(data)

    assert await again(target, once, 4), "no connection was ended"


@attack("HTTP/2: more streams than are allowed", PROMISE, fronts=("http2",), sessions=100)
async def too_many_streams(target: Target) -> None:
    opening = [frame(HEADERS, END_HEADERS, stream, NEXT) for stream in range(3, 2000, 2)]
    data = frame(HEADERS, END_HEADERS, 1, FIRST) + b"".join(opening)

    async def once(conn: Connection) -> None:
        await conn.peer.push(data)

    await again(target, once, 1)


@attack("HTTP/2: requests that are refused, without end", PROMISE, fronts=("http2",), sessions=8)
async def refused_requests(target: Target) -> None:
    first, later = fields("/nothing")
    opening = [frame(HEADERS, END_HEADERS, stream, later) for stream in range(3, 20_000, 2)]
    data = frame(HEADERS, END_HEADERS, 1, first) + b"".join(opening)

    async def once(conn: Connection) -> None:
        await conn.peer.push(data)

    await again(target, once, 2)


@attack(
    "HTTP/2: one header that is 4 KiB, a thousand times", PROMISE, fronts=("http2",), sessions=8
)
async def header_bomb(target: Target) -> None:
    encoder = Encoder()
    start = encoder.encode(
        [(":method", "GET"), (":path", "/"), (":scheme", "http"), ("x", "y" * 4000)]
    )
    index = encoder.encode([("x", "y" * 4000)])
    data = frame(HEADERS, END_HEADERS | END_STREAM, 1, start + index * 15_000)

    async def once(conn: Connection) -> None:
        await conn.peer.push(data)

    await again(target, once, 4)


@attack(
    "HTTP/2: connections without a stream",
    PROMISE,
    fronts=("http2",),
    sessions=100,
)
async def idle_connections(target: Target) -> None:
    async def one(number: int) -> None:
        if number % 2:
            await connection(target)
        else:
            (await target.tcp()).send(PREFACE[: number % 24])

    await target.each(100, one)
    await target.rest()


@attack(
    "HTTP/2: windows that are never opened",
    PROMISE,
    fronts=("http2",),
    sessions=50,
    seconds=4,
)
async def closed_windows(target: Target) -> None:
    first, later = fields("/flood")

    async def one(number: int) -> None:
        conn = await connection(target)
        await conn.peer.push(
            frame(HEADERS, END_HEADERS, 1, first)
            + b"".join(frame(HEADERS, END_HEADERS, stream, later) for stream in range(3, 21, 2))
        )

    await target.each(5, one)
    await target.rest()


@attack("HTTP/2: random frames", PROMISE, fronts=("http2",), sessions=8)
async def random_frames(target: Target) -> None:
    rng = random.Random(16)

    async def once(conn: Connection) -> None:
        data = b"".join(
            frame(
                rng.randrange(12),
                rng.randrange(256),
                rng.choice([0, 1, 3]),
                rng.randbytes(rng.choice([0, 4, 5, 8, 60])),
            )
            for _ in range(30)
        )
        await conn.peer.push(data)

    async def one(number: int) -> None:
        while target.time_is_left:
            with suppress(*DROPPED):
                conn = await connection(target)
                await once(conn)
                await asyncio.wait([conn.reading], timeout=0.05)
                conn.peer.close()

    await target.each(4, one)
