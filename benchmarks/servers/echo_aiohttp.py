"""aiohttp's server; ``isal``: with that zlib backend."""

from __future__ import annotations

import aiohttp
from aiohttp import WSMsgType, web
from orders import DECODER, ENCODER
from shared import LARGEST, PORT, TLS, VARIANT, run

members: set[web.WebSocketResponse] = set()


async def accept(request: web.Request) -> web.WebSocketResponse:
    session = web.WebSocketResponse(max_msg_size=LARGEST)
    await session.prepare(request)
    return session


async def echo(request: web.Request) -> web.WebSocketResponse:
    session = await accept(request)
    async for message in session:
        if message.type is WSMsgType.TEXT:
            await session.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await session.send_bytes(message.data)
    return session


async def room(request: web.Request) -> web.WebSocketResponse:
    session = await accept(request)
    members.add(session)
    async for _ in session:
        pass
    members.discard(session)
    return session


async def publish(request: web.Request) -> web.WebSocketResponse:
    session = await accept(request)
    async for message in session:
        for member in members:
            await member.send_str(message.data)
    return session


async def typed(request: web.Request) -> web.WebSocketResponse:
    session = await accept(request)
    async for message in session:
        await session.send_str(ENCODER.encode(DECODER.decode(message.data)).decode())
    return session


async def main() -> object:
    if VARIANT == "isal":
        from isal import isal_zlib

        aiohttp.set_zlib_backend(isal_zlib)
    app = web.Application()
    app.router.add_get("/", echo)
    app.router.add_get("/room", room)
    app.router.add_get("/typed", typed)
    app.router.add_get("/publish", publish)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT, ssl_context=TLS).start()
    return runner


run(main)
