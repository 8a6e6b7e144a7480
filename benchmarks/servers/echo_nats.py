"""A room over two processes by hand: picows' core, and nats-py's publish and subscribe."""

from __future__ import annotations

import nats
from bridge import bridge
from nats.aio.msg import Msg
from shared import BROKER, run


async def main() -> object:
    client = await nats.connect(BROKER)

    async def publish(message: bytes) -> None:
        await client.publish("room", message)

    server, tell = await bridge(publish)

    async def on_message(message: Msg) -> None:
        tell(message.data)

    return server, await client.subscribe("room", cb=on_message)


run(main)
