"""uvicorn under a bare ASGI app; the variant is its WebSocket implementation."""

from __future__ import annotations

from typing import Any

import uvicorn
from shared import CERTIFICATE, KEY, LARGEST, PORT, TLS, VARIANT

members: set[Any] = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/room":
        members.add(send)
    while (event := await receive())["type"] == "websocket.receive":
        reply = {"type": "websocket.send", "text": event["text"]}
        if scope["path"] == "/publish":
            for member in members:
                await member(reply)
        elif scope["path"] == "/":
            await send(reply)
    members.discard(send)


uvicorn.run(
    app,
    host="127.0.0.1",
    port=PORT,
    loop="uvloop",
    ws=VARIANT,  # type: ignore[arg-type]
    ws_max_size=LARGEST,
    ws_ping_interval=None,
    log_level="critical",
    lifespan="off",
    ssl_certfile=CERTIFICATE if TLS else None,
    ssl_keyfile=KEY if TLS else None,
)
