"""A server with a live page, and what a page asks for."""

from __future__ import annotations

__all__ = ["app_with", "find", "get", "page", "serving"]

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import wsext
from tests.raw import fetch
from wsext import App, ServerOptions, Session
from wsext.inspector import Inspector


def app_with(inspector: Inspector, **server: Any) -> App:
    """An app that echoes, with an inspector and these options of the server."""
    app = App(server=ServerOptions(**server))
    app.install("permessage-deflate", threshold=64)
    app.install(inspector)

    @app.websocket("/echo/<what>")
    async def echo(session: Session, what: str) -> None:
        async for message in session:
            if message == "fail":
                raise RuntimeError("the secret of the handler")
            await session.send(message)

    return app


@asynccontextmanager
async def serving(
    payload: bool = True, **options: Any
) -> AsyncIterator[tuple[Inspector, wsext.Server]]:
    """A server of that app."""
    inspector = Inspector(payload=payload)
    async with wsext.serve(app_with(inspector, **options)) as server:
        yield inspector, server


def page(inspector: Inspector, server: wsext.Server, **headers: str) -> Any:
    """A connection of a page, opened by a program with the token."""
    headers = {"Authorization": f"Bearer {inspector.token}", **headers}
    return wsext.connect(f"{server.url}/_wsext/live", headers=headers)


async def find(feed: Session, kind: str, wanted: Any = lambda event: True) -> Any:
    """The next message of a kind that is wanted."""
    while True:
        event = await feed.receive_json()
        if event["type"] == kind and wanted(event):
            return event


async def get(server: wsext.Server, path: str, *headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
    return await fetch(server.port, "\r\n".join(lines).encode())
