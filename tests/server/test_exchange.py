"""A request and its answer: how long the client may wait, and what happens when it leaves."""

from __future__ import annotations

import asyncio

import wsext
from tests.raw import REQUEST, raw_peer
from tests.server.apps import echo
from wsext import App, Request, ServerOptions


async def test_a_guard_that_hangs_keeps_a_place_only_while_the_client_waits() -> None:
    app = App(server=ServerOptions(max_connections=1, handshake_timeout=30))
    states: asyncio.Queue[str] = asyncio.Queue()

    async def guard(request: Request) -> None:
        states.put_nowait("asked")
        try:
            await asyncio.Event().wait()
        finally:
            states.put_nowait("cancelled")

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server:
        for leave in ("abort", "write_eof"):
            async with raw_peer(server.port) as peer:
                peer.send(REQUEST.format(path="/", more="").encode())
                assert await states.get() == "asked"
                getattr(peer.writer.transport, leave)()
                assert await states.get() == "cancelled"
        assert server.connection_count == 0


async def test_a_guard_that_hangs_ends_with_the_time_for_the_handshake() -> None:
    app = App(server=ServerOptions(handshake_timeout=0.1))

    async def guard(request: Request) -> None:
        await asyncio.Event().wait()

    app.websocket("/", guards=[guard])(echo)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        peer.send(REQUEST.format(path="/", more="").encode())
        assert await peer.reader.read() == b""
