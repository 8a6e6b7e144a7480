"""Servers and clients of `websockets` with extensions of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect as foreign_connect
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as foreign_serve

from wsext.integrations.websockets import client_extensions, server_extensions

WORDS = "the quick brown fox jumps over the lazy dog " * 50


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def port_of(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{port_of(server)}/"


@asynccontextmanager
async def serving(*what: Any, handler: Any = echo, **options: Any) -> AsyncIterator[Server]:
    """A server of ``websockets`` with our extensions."""
    factories = server_extensions(what)
    async with foreign_serve(
        handler, "127.0.0.1", 0, extensions=factories, compression=None, **options
    ) as server:
        yield server


def connecting(url: str, *what: Any, **options: Any) -> foreign_connect:
    """A client of ``websockets`` with our extensions."""
    factories = client_extensions(what)
    return foreign_connect(url, extensions=factories, compression=None, **options)
