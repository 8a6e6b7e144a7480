"""Servers that say what a test wants, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from websockets.utils import accept_key


@asynccontextmanager
async def listening(handle: Callable[..., Coroutine[Any, Any, None]]) -> AsyncIterator[int]:
    """A TCP server of this test's own, with its port; its handlers have ended afterwards."""
    running: set[asyncio.Task[None]] = set()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    if running:
        await asyncio.wait(running)
    for task in running:
        task.result()


@asynccontextmanager
async def answering(make: Callable[[str], bytes]) -> AsyncIterator[str]:
    """A server that answers every handshake with what ``make`` makes of its key."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(make(key))
        if writer.can_write_eof():
            writer.write_eof()
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        yield f"ws://127.0.0.1:{port}/"


def accept(key: str, more: str = "") -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{more}\r\n"
    ).encode()
