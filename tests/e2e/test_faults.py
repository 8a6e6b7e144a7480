"""Peers that mean harm, against `wsext serve` in a process of its own: what each of them gets, and
that the server is as it was before, in what it answers and in what memory it has."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import wsext
from tests.e2e.processes import Served, serving
from tests.raw import KEY, RawPeer, fetch, masked, raw_peer
from tests.waiting import until

APP = """
import json
from collections import Counter
from wsext import App, Response, ServerOptions, Session, WebSocketOptions, hookimpl

app = App(
    options=WebSocketOptions(max_message_size=100_000, close_timeout=0.5, write_timeout=1),
    server=ServerOptions(handshake_timeout=1),
)
app.install("permessage-deflate")
codes = Counter()


class Count:
    @hookimpl
    def wsext_session_opened(self, session):
        codes["open"] += 1

    @hookimpl
    def wsext_session_closed(self, session, info):
        codes["open"] -= 1
        codes[str(info.code)] += 1


app.install(Count())


@app.http("/codes")
def count(request):
    return Response(200, json.dumps(codes))


@app.websocket("/")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


@app.websocket("/flood")
async def flood(session: Session) -> None:
    while True:
        await session.send(bytes(50_000))
"""
MIB = 1 << 20


class Target(NamedTuple):
    """The server under attack."""

    port: int
    pid: int

    def memory(self) -> int:
        """Its resident memory, in bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def codes(self) -> Counter[str]:
        """How many sessions have ended with which code, and how many are ``open``."""
        _, _, body = await fetch(self.port, b"GET /codes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return Counter(json.loads(body))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "attacked.py").write_text(APP)
    served: Served
    with serving("attacked:app", cwd=folder) as served:
        yield Target(int(served.ws.rpartition(":")[2]), served.process.pid)


async def normal_session(target: Target) -> None:
    url = f"ws://127.0.0.1:{target.port}/"
    async with wsext.connect(url, extensions=["permessage-deflate"]) as session:
        await session.send("a normal session" * 100)
        assert await session.receive() == "a normal session" * 100


async def many(count: int, attack: Callable[[int], Awaitable[None]]) -> None:
    """Run an attack ``count`` times, a hundred at a time."""
    for start in range(0, count, 100):
        await asyncio.gather(*(attack(n) for n in range(start, min(start + 100, count))))


async def gets(peer: RawPeer, code: int) -> None:
    assert await peer.close_code() == code
    assert await peer.frame() is None


async def open_peer(peer: RawPeer, deflate: bool = False) -> None:
    more = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else ""
    assert (await peer.shake(more=more)).startswith("HTTP/1.1 101")


# --- the attacks ------------------------------------------------------------------------------


async def half_open_handshakes(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n"[: number % 30])
            assert await peer.reader.read() == b""  # dropped after the handshake's time

    await many(200, attack)


async def slow_headers(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            reading = asyncio.ensure_future(peer.reader.read())
            peer.send(b"GET / HTTP/1.1\r\nX: ")
            while not reading.done():
                peer.send(b"x")
                await asyncio.wait([reading], timeout=0.05)  # as slow as the attacker likes
            assert reading.exception() is not None or reading.result() == b""

    await many(50, attack)


async def slow_frames(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer)
            message = masked(2, bytes(90_000))
            peer.send(message[:14])
            for byte in message[14:64]:
                peer.send(bytes([byte]))
                await peer.writer.drain()
            peer.send(masked(9, b"")[:1])  # and it is half of the message for ever

    await many(200, attack)


async def resets(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer, deflate=True)
            peer.send(masked(1, b"x" * 5000)[: 1 + number * 17])
            await peer.writer.drain()
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    await many(300, attack)


async def peers_that_never_read(target: Target) -> None:
    before = await target.codes()

    async def all_closed() -> bool:
        return (await target.codes())["1013"] >= before["1013"] + 20

    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            assert "101" in await peer.shake("/flood")
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(all_closed, every=0.1)

    await many(20, attack)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


BOMB = masked(1, deflated(bytes(50 * MIB)), rsv=0x40)


async def bombs(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer, deflate=True)
            peer.send(BOMB)
            await gets(peer, 1009)

    await many(30, attack)


async def corrupted_deflate(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer, deflate=True)
            data = bytearray(deflated(b"a message" * 100))
            data[number % 8] ^= 0xFF
            peer.send(masked(1, b"\xff" + data[1:], rsv=0x40))
            await gets(peer, 1007)

    await many(100, attack)


async def ping_floods(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer)
            closed = asyncio.ensure_future(peer.close_code())
            while not closed.done():
                peer.send(masked(9, b"p" * 125) * 50)
                await asyncio.wait([closed], timeout=0.05)
            assert closed.result() == 1008

    await many(10, attack)


async def one_byte_fragments(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer)
            rest = masked(0, b"x", False)
            peer.send(masked(1, b"x", False) + rest * 99_998 + masked(0, b"x"))
            frame = await peer.frame()
            assert frame is not None
            assert len(frame.payload) == 100_000  # as large as a message may be
            peer.send(masked(1, b"x", False) + rest * 100_000)
            await gets(peer, 1009)

    await many(3, attack)


async def ten_thousand_offers(target: Target) -> None:
    for name, status in (("permessage-deflate; x", "431"), ("x", "431")):
        async with raw_peer(target.port) as peer:
            offers = ", ".join([name] * 10_000)
            head = await peer.shake(more=f"Sec-WebSocket-Extensions: {offers}\r\n")
            assert status in head.split("\r\n")[0]
    async with raw_peer(target.port) as peer:  # as many as fit into the lines that are read
        line = "Sec-WebSocket-Extensions: " + ",".join("x" * 3500) + "\r\n"
        head = await peer.shake(more=line * 2)
        assert head.startswith("HTTP/1.1 101")
        assert "Sec-WebSocket-Extensions" not in head


async def lengths_that_never_come(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            await open_peer(peer)
            peer.send(b"\x82\xff" + (99_999).to_bytes(8, "big") + KEY + b"x")
            peer.writer.write_eof()
            assert await peer.frame() is None

    await many(300, attack)


async def opened_and_dropped(target: Target) -> None:
    async def attack(number: int) -> None:
        async with raw_peer(target.port) as peer:
            if number % 2:
                await open_peer(peer, deflate=True)

    await many(3000, attack)


ATTACKS = [
    half_open_handshakes,
    slow_headers,
    slow_frames,
    resets,
    peers_that_never_read,
    bombs,
    corrupted_deflate,
    ping_floods,
    one_byte_fragments,
    ten_thousand_offers,
    lengths_that_never_come,
    opened_and_dropped,
]

#: What an attack may leave behind: memory that the allocator keeps for the next time. A session
#: that is left over from each connection would be more.
BOUND = 8 * MIB


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_the_server_is_as_it_was(
    target: Target, attack: Callable[[Target], Awaitable[None]]
) -> None:
    async def all_gone() -> bool:
        return not (await target.codes())["open"]

    await normal_session(target)
    before = target.memory()
    await attack(target)
    await normal_session(target)
    async with asyncio.timeout(20):
        await until(all_gone, every=0.05)
        await until(lambda: target.memory() - before <= BOUND, every=0.05)
