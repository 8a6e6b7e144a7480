"""Servers in processes of their own, one room, a broker that is killed in the middle.

SHOW=full python -m pytest tests/e2e/test_backplane.py -n0 --timeout 600
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

import wsext
from tests import brokers
from tests.e2e.processes import Served, serving

FULL = os.environ.get("SHOW") == "full"
CLIENTS, MESSAGES = (200, 1000) if FULL else (40, 200)
SENDERS = 4

APP = """
from wsext import App

app = App()

@app.websocket("/<room>")
async def chat(session, room):
    async with app.room(room).join(session) as members:
        await session.send("joined")
        async for message in session:
            await members.broadcast(message)
"""


async def _in_one_room(servers: list[Served], broker: brokers.Broker) -> list[dict[str, list[int]]]:
    """All clients in one room; some send, all receive, the broker dies: what each has received,
    by sender."""
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(CLIENTS):
            url = f"{servers[number % len(servers)].ws}/room"
            clients.append(await stack.enter_async_context(wsext.connect(url)))
        for client in clients:
            assert await client.receive() == "joined"
        middle = asyncio.Event()

        async def send(sender: int) -> None:
            each = MESSAGES // SENDERS
            for number in range(each):
                await clients[sender].send(f"{sender} {number}")
                if number % 10 == 0:
                    await clients[sender].ping()  # the server has read it: neither side races ahead
                if number == each // 2:
                    middle.set()

        async def fail() -> None:
            await middle.wait()
            broker.kill()
            await asyncio.to_thread(broker.start)

        async def receive(client: wsext.Session) -> dict[str, list[int]]:
            got: dict[str, list[int]] = {}
            for _ in range(MESSAGES):
                sender, _, number = str(await client.receive()).partition(" ")
                got.setdefault(sender, []).append(int(number))
            return got

        async with asyncio.TaskGroup() as group:
            receiving = [group.create_task(receive(client)) for client in clients]
            group.create_task(fail())
            for sender in range(SENDERS):
                group.create_task(send(sender))
        # Nothing more comes: a room's own echo says that all before it has been delivered.
        for sender in range(SENDERS):
            await clients[sender].send(f"{sender} end")
        for client in clients:
            ends = sorted([str(await client.receive()) for _ in range(SENDERS)])
            assert ends == [f"{sender} end" for sender in range(SENDERS)]
        return [task.result() for task in receiving]


@pytest.mark.slow
@pytest.mark.parametrize("kind", brokers.KINDS if FULL else ("redis", "nats-forgetful"))
def test_everybody_receives_everything_once_through_a_brokers_death(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    folder = tmp_path / "broker"
    folder.mkdir()
    with brokers.running(kind, folder) as broker, ExitStack() as stack:
        servers = [
            stack.enter_context(
                serving("app:app", "--workers", "2", "--backplane", broker.url, cwd=tmp_path)
            )
            for _ in range(2)
        ]
        received = asyncio.run(_in_one_room(servers, broker))
    expected = {str(sender): list(range(MESSAGES // SENDERS)) for sender in range(SENDERS)}
    assert len(received) == CLIENTS
    for got in received:
        assert got == expected
