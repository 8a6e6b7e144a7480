"""Rooms whose messages are compressed with memory, on a simulated network: whatever happens to a
member, what it gets is what was said, in that order.

SHOW=full python -m pytest tests/simulation/test_contexts.py -n0 -s --timeout 600
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from wsext import App, ConnectionClosed, Membership, RoomOptions, Session, WebSocketOptions
from wsext.testing import Conditions, World, simulate

SEEDS, MESSAGES = (30, 400) if os.environ.get("SHOW") == "full" else (2, 120)
MEMBERS = 5
#: Slow enough for messages to wait.
NETWORK = Conditions(latency=(0.001, 0.02), capacity=2000)
OPTIONS = WebSocketOptions(ping_interval=None, outgoing_bytes=2048)


DEFLATE = ("permessage-deflate",)
STACK = ("permessage-checksum", "permessage-deflate", "permessage-fragment")


def text(number: int, random: Random) -> str:
    """A message that can be told from every other one, and is much like it."""
    symbol = random.choice(["AAPL", "MSFT", "NVDA"])
    body = {"symbol": symbol, "price": random.random(), "number": number}
    return json.dumps(body) * random.choice([1, 1, 1, 1, 1, 30])


class Town:
    """A room in which one speaks, and members that come, go, lag and are spoken to alone."""

    def __init__(self, world: World, policy: Any, extensions: tuple[str, ...]) -> None:
        self.world, self.random = world, world.random
        self.app = App(options=OPTIONS, rooms=RoomOptions(queue_bytes=6000, history=5))
        self.extensions = extensions
        for name in extensions:
            self.app.install(name)
        self.members: list[Membership] = []
        self.said: list[str] = []
        self.is_over = False

        @self.app.websocket("/")
        async def stay(session: Session) -> None:
            room, history = self.app.room("town"), self.random.choice([0, 5])
            async with room.join(session, overflow=policy, history=history) as member:
                self.members.append(member)
                try:
                    await session.wait_closed()
                finally:
                    self.members.remove(member)

    def next_text(self) -> str:
        self.said.append(text(len(self.said), self.random))
        return self.said[-1]

    async def speak(self) -> None:
        room = self.app.room("town")
        while len(self.said) < MESSAGES:
            await asyncio.sleep(self.random.choice([0, 0, 0.002, 0.02]))
            member = self.random.choice(self.members) if self.members else None
            kind = self.random.randrange(12)
            if kind == 0 and member is not None:
                await self.speak_privately(member.session)
                continue
            hints = {"compress": False} if kind == 1 else None
            exclude = member.session if kind == 2 and member is not None else ()
            key = "price" if kind < 8 else None
            await room.broadcast(self.next_text(), exclude=exclude, key=key, hints=hints)
        self.is_over = True

    async def speak_privately(self, session: Session) -> None:
        data: Any = self.next_text()
        if self.random.random() < 0.3:
            data = self.in_parts(data)
        try:
            async with asyncio.timeout(self.random.choice([1.0, 1.0, 0.0])):
                await session.send(data)
        except (TimeoutError, ConnectionClosed):
            pass

    async def in_parts(self, whole: str) -> AsyncIterator[str]:
        for at in range(0, len(whole), 50):
            yield whole[at : at + 50]

    async def listen(self, server: Any) -> int:
        """Come and go until it is over; how many messages came."""
        count = 0
        while not self.is_over:
            connecting = self.world.connect(
                server, "/", extensions=self.extensions, conditions=NETWORK
            )
            async with connecting as session:
                assert len(session.extensions) == len(self.extensions)
                last = -1
                for _ in range(self.random.choice([5, 50, 1000])):
                    if self.random.random() < 0.05:
                        await asyncio.sleep(self.random.choice([0.01, 0.3]))
                    try:
                        async with asyncio.timeout(1):
                            message = str(await session.receive())
                    except (TimeoutError, ConnectionClosed):
                        break
                    number = self.said.index(message)  # or it is none that was said
                    assert number > last
                    last, count = number, count + 1
        return count


@pytest.mark.parametrize(
    ("policy", "extensions"),
    [
        ("close", DEFLATE),
        ("drop-oldest", DEFLATE),
        ("coalesce", DEFLATE),
        ("close", ("permessage-zstd",)),
        ("drop-oldest", STACK),
        ("close", ("session-resume", *DEFLATE)),
    ],
)
def test_what_a_member_gets_is_what_was_said(policy: str, extensions: tuple[str, ...]) -> None:
    async def scenario(world: World) -> None:
        town = Town(world, policy, extensions)
        server = await world.serve(town.app)
        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(town.listen(server)) for _ in range(MEMBERS)]
            await group.create_task(town.speak())
        assert sum(task.result() for task in listening) > MESSAGES

    for seed in range(SEEDS):
        simulate(scenario, seed)
