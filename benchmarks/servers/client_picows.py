"""The client of picows, its core."""

from __future__ import annotations

from typing import Any

from clients import MESSAGE, URL, Count, measure
from picows import WSListener, WSMsgType, ws_connect


async def talk(count: Count) -> None:
    class Echo(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(WSMsgType.TEXT, MESSAGE.encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            count.replies += 1
            transport.send(frame.msg_type, frame.get_payload_as_bytes())

    transport, _ = await ws_connect(Echo, URL)
    await transport.wait_disconnected()


measure(talk)
