"""The app that is attacked on trio: ``python -m tests.attack.trio_victim``."""

from __future__ import annotations

import json
import logging
import os
from functools import partial
from typing import Any

import trio

import wsext.trio
from tests.attack.victim import known
from tests.codecs import AsyncInflate
from wsext import Request, Response
from wsext.integrations.options import settings_from_environment

app, _ = settings_from_environment()
app.install(AsyncInflate)


@app.http("/state")
def state(request: Request) -> Response:
    """How many sessions this process has."""
    return Response(200, json.dumps({"pid": os.getpid(), "sessions": len(running), "tasks": 0}))


@app.http("/form", methods=["POST"])
def form(request: Request) -> str:
    return str(len(request.body))


running: set[Any] = set()


def route(path: str, **how: Any) -> Any:
    """Add a route whose sessions are counted."""

    def add(handler: Any) -> Any:
        @app.websocket(path, **how)
        async def counted(session: Any) -> None:
            running.add(session)
            try:
                await handler(session)
            finally:
                running.discard(session)

        return handler

    return add


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message)


route("/")(echo)
route("/guarded", guards=[known])(echo)


@route("/silent")
async def reads_nothing(session: Any) -> None:
    await session.wait_closed()


@route("/slow")
async def reads_slowly(session: Any) -> None:
    async for _ in session:
        await trio.sleep(0.05)


@route("/flood")
async def sends_for_ever(session: Any) -> None:
    while True:
        await session.send(bytes(50_000))


@route("/bye")
async def ends_at_once(session: Any) -> None:
    pass


async def main() -> None:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(wsext.trio.serve, app, port=0))
        print(f"http://127.0.0.1:{server.port}/", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    trio.run(main)
