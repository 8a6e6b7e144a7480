"""hypercorn, which speaks HTTP/1.1 and HTTP/2, under a bare ASGI app."""

from __future__ import annotations

from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from shared import LARGEST, PORT, run


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    config.websocket_max_message_size = LARGEST
    config.loglevel = "CRITICAL"
    await serve(app, config)


run(main)
