"""The app that is attacked under uvicorn."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any

from wsext.integrations import asgi

sessions = 0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An echo; ``/silent`` reads nothing at first, ``/flood`` sends for ever; ``/hang`` never
    answers; ``/state``."""
    if scope["type"] == "websocket":
        await _session(scope, receive, send)
    elif scope["type"] == "http":
        state = json.dumps({"pid": os.getpid(), "sessions": sessions, "tasks": 0}).encode()
        headers = [(b"content-length", str(len(state)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": state})
    else:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def _session(scope: Any, receive: Any, send: Any) -> None:
    global sessions
    path = scope["path"]
    await receive()
    if path == "/hang":
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "websocket.accept"})
    sessions += 1
    try:
        if path == "/silent":
            # Who does not receive cannot learn of the end from ASGI.
            with suppress(TimeoutError):
                await asyncio.wait_for(asgi.session(scope).wait_closed(), 3)
        while path == "/flood":
            await send({"type": "websocket.send", "bytes": bytes(50_000)})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
    finally:
        sessions -= 1
