"""What happens for every read: the application gets the same however the bytes come in."""

from __future__ import annotations

import asyncio

import pytest

import wsext
from tests.raw import masked, raw_peer
from tests.runtime.sessions import SOON, app_of
from wsext import Session
from wsext.runtime.read_path import READ_SIZE

MESSAGES = ["a", "b" * 200, "c" * 70_000, "d" * (READ_SIZE + 1), "e" * 1_000_000, "f"]


@pytest.mark.parametrize("size", [7_777, READ_SIZE, 2_000_000])
async def test_messages_are_the_same_however_their_bytes_come(size: int) -> None:
    found: asyncio.Queue[str] = asyncio.Queue()

    async def handler(session: Session) -> None:
        async for message in session:
            found.put_nowait(message)

    wire = b"".join(masked(1, text.encode()) for text in MESSAGES)
    async with wsext.serve(app_of(handler)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        async with asyncio.timeout(SOON):
            for at in range(0, len(wire), size):
                peer.send(wire[at : at + size])
                await peer.writer.drain()
            assert [await found.get() for _ in MESSAGES] == MESSAGES
