"""uvicorn under a bare ASGI app; the variant is its WebSocket implementation."""

from __future__ import annotations

from typing import Any

from shared import serve_asgi

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


serve_asgi(app)
