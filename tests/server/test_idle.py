"""How much memory an idle connection takes in this program, beside its transport."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import wsext
from tests.raw import REQUEST, masked
from wsext import App, Session, WebSocketOptions
from wsext.compiled import CODEC
from wsext.runtime import net

#: Connections before the first look, and between the two.
WARM, MANY = 10, 60

#: Bytes that a session takes: without an extension, with permessage-deflate, and once a message of
#: 1 KiB was compressed each way. The sources keep more attributes of their own,
#: and most in Python 3.13.
MOST = {"c": (5700, 7900, 11_500), "python": (8800, 10_800, 14_800)}[CODEC]

#: Bytes that session-resume takes beside them: less than 1 KiB for many sessions, and a little more
#: for so few, because the table of their ids has room for others.
TO_RESUME = {"c": 1200, "python": 2048}[CODEC]

TEXT = b"".join(b"%d and " % number for number in range(150))[:1024]


def message() -> bytes:
    packer = zlib.compressobj(wbits=-12)
    packed = packer.compress(TEXT) + packer.flush(zlib.Z_SYNC_FLUSH)
    return masked(1, packed[:-4], rsv=0x40)


class Peers:
    """Clients that do no more than they have to."""

    def __init__(self, port: int, offer: str, first: bytes) -> None:
        self._port = port
        more = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        self._request = REQUEST.format(path="/", more=more).encode()
        self._first = first
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await self._loop.sock_connect(sock, ("127.0.0.1", self._port))
        await self._loop.sock_sendall(sock, self._request)
        head = await self._loop.sock_recv(sock, 4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        for name in (b"permessage-deflate", b"session-resume"):
            assert (name in head) == (name in self._request)
        if self._first:
            await self._loop.sock_sendall(sock, self._first)
            assert (await self._loop.sock_recv(sock, 4096))[0] == 0xC1
        return sock


async def grown(connect: Callable[[], Awaitable[Any]], kept: list[Any]) -> float:
    """Bytes that a connection takes in this program, with what its client takes."""
    for count in (WARM, MANY):
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            kept.append(await connect())
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / MANY


async def transport_and_client(kept: list[Any]) -> float:
    """What a connection takes without a session: its transport and its client."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=MANY) as listener:

        async def connect() -> Any:
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, listener.getsockname())
            kept.append(sock)
            return await net.connect_accepted_socket(asyncio.BufferedProtocol, listener.accept()[0])

        return await grown(connect, kept)


async def taken_by(offer: str, first: bytes) -> float:
    """Bytes that a session takes in this program, beside its transport and its client."""
    app = App(options=WebSocketOptions(ping_interval=None))
    app.install("permessage-deflate", live_compressors=8)
    app.install("session-resume")

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for data in session:
            await session.send(data)

    kept: list[Any] = []
    tracemalloc.start()
    try:
        rest = await transport_and_client(kept)
        async with wsext.serve(app) as server:
            taken = await grown(Peers(server.port, offer, first).connect, kept)
            for item in kept:
                item.close() if isinstance(item, socket.socket) else item[0].abort()
    finally:
        tracemalloc.stop()
    return taken - rest


@pytest.mark.parametrize(
    ("offer", "first", "most"),
    [
        ("", b"", MOST[0]),
        ("permessage-deflate; client_max_window_bits", b"", MOST[1]),
        ("permessage-deflate; client_max_window_bits", message(), MOST[2]),
    ],
    ids=["plain", "deflate", "deflate, after a message"],
)
async def test_an_idle_session_takes_little(offer: str, first: bytes, most: int) -> None:
    taken = await taken_by(offer, first)
    assert taken < most, taken


async def test_one_that_can_be_resumed_takes_little_more() -> None:
    taken = await taken_by("session-resume", b"") - await taken_by("", b"")
    assert taken < TO_RESUME, taken
