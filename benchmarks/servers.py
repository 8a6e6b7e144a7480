"""The servers under test: ``python servers.py NAME PORT``; each echoes what it gets on ``/``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def _loop(main: Any) -> None:
    import uvloop

    uvloop.run(main())


def wsext(variant: str, port: int, *, deflate: bool = False) -> None:
    """``coro`` or ``listener``, with as many no-op extensions as the last digit says."""
    from typing import ClassVar

    from wsext import App, Codec, Extension, Frame, Listener, Session, WebSocketOptions

    app = App(options=WebSocketOptions(max_message_size=1 << 22, ping_interval=None))
    if deflate:
        app.install("permessage-deflate")
    for number in range(int(variant[-1]) if variant[-1].isdigit() else 0):

        class NoOp(Extension):
            """Does nothing."""

            name: ClassVar[str] = f"x-noop{number}"

            def make_codec(self, params: Any, ctx: Any) -> Codec:
                return _Pass()

        app.install(NoOp)

    class _Pass(Codec):
        def encode(self, frame: Frame) -> Frame:
            return frame

        def decode(self, frame: Frame, budget: int) -> Frame:
            return frame

    if variant.startswith("listener"):

        @app.websocket("/")
        class Echo(Listener):
            def on_message(self, session: Session, message: str | bytes) -> None:
                session.send_nowait(message)

    else:

        @app.websocket("/")
        async def echo(session: Session) -> None:
            async for message in session:
                await session.send(message)

    app.run("127.0.0.1", port)


def websockets(port: int, *, deflate: bool = False) -> None:
    """websockets, its new asyncio server."""
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        compression = "deflate" if deflate else None
        async with serve(
            echo, "127.0.0.1", port, compression=compression, ping_interval=None, max_size=1 << 22
        ):
            await asyncio.get_running_loop().create_future()

    _loop(main)


def picows(port: int) -> None:
    """picows, its core: callbacks on frames."""
    from picows import WSListener, WSMsgType, ws_create_server

    class Echo(WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    async def main() -> None:
        server = await ws_create_server(
            lambda request: Echo(), "127.0.0.1", port, max_frame_size=1 << 22
        )
        await server.serve_forever()

    _loop(main)


def picows_api(port: int) -> None:
    """picows' interface in the style of websockets."""
    from picows.websockets.asyncio.server import serve

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(
            echo, "127.0.0.1", port, compression=None, ping_interval=None, max_size=1 << 22
        ):
            await asyncio.get_running_loop().create_future()

    _loop(main)


def aiohttp(port: int, *, deflate: bool = False) -> None:
    """aiohttp's server."""
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        session = web.WebSocketResponse(compress=deflate, max_msg_size=1 << 22)
        await session.prepare(request)
        async for message in session:
            if message.type is WSMsgType.TEXT:
                await session.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await session.send_bytes(message.data)
        return session

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.get_running_loop().create_future()

    _loop(main)


def main() -> None:
    """Run one server until it is killed."""
    name, port = sys.argv[1], int(sys.argv[2])
    if name.startswith("wsext-"):
        variant = name.removeprefix("wsext-").removesuffix("-deflate").removesuffix("-python")
        wsext(variant, port, deflate=name.endswith("-deflate"))
    elif name.endswith("-deflate"):
        globals()[name.removesuffix("-deflate")](port, deflate=True)
    else:
        globals()[name.replace("-", "_")](port)


if __name__ == "__main__":
    main()
