"""What a room over a broker needs beside the broker's client, as little as possible of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from picows import WSListener, WSMsgType, ws_create_server
from shared import PORT

__all__ = ["bridge"]


async def bridge(
    publish: Callable[[bytes], Awaitable[None]],
) -> tuple[object, Callable[[bytes], None]]:
    """The server, and what sends a message to its members.

    Args:
        publish: Gives a message to the broker.
    """
    members: set[Any] = set()
    tasks: set[asyncio.Task[None]] = set()

    class Member(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            members.add(transport)

        def on_ws_disconnected(self, transport: Any) -> None:
            members.discard(transport)

    class Publish(WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                task = asyncio.ensure_future(publish(frame.get_payload_as_bytes()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    def tell(message: bytes) -> None:
        for member in members:
            member.send(WSMsgType.TEXT, message)

    server = await ws_create_server(
        lambda request: Publish() if request.path == b"/publish" else Member(), "127.0.0.1", PORT
    )
    await server.start_serving()
    return server, tell
