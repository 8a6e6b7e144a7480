"""A room over two processes by hand: picows' core, and redis-py's publish and subscribe."""

from __future__ import annotations

import asyncio

from bridge import bridge
from redis.asyncio import Redis
from shared import BROKER, run


async def main() -> object:
    redis = Redis.from_url(BROKER)
    subscription = redis.pubsub(ignore_subscribe_messages=True)
    await subscription.subscribe("room")

    async def publish(message: bytes) -> None:
        await redis.publish("room", message)

    server, tell = await bridge(publish)

    async def listen() -> None:
        async for message in subscription.listen():
            tell(message["data"])

    return server, asyncio.create_task(listen())


run(main)
