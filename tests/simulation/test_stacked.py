"""A delta, permessage-deflate and permessage-seal on one session: none may lose a step. One send in
twenty is cancelled somewhere, and all that arrives is right.

SHOW=full python -m pytest tests/simulation/test_stacked.py -n0 -s --timeout 600
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any, ClassVar

import pytest
from wsext_seal import PermessageSeal

from wsext import (
    App,
    Codec,
    ConnectionClosed,
    Extension,
    MessageCodec,
    Phase,
    Session,
    WebSocketOptions,
)
from wsext.testing import Conditions, World, simulate

#: In each direction.
MESSAGES = 10_000 if os.environ.get("SHOW") == "full" else 250
#: How many of the sends are cancelled at least; how many are to be, each within so many seconds:
#: some are done before.
CANCELLED, TRIED, LATEST = 0.05, 0.12, 0.02
#: Slow enough for sends to wait, for the codecs and for the network.
NETWORK = Conditions(latency=(0.005, 0.03), capacity=1000)
OPTIONS = WebSocketOptions(ping_interval=None, outgoing_bytes=1024)
END = "end"


class _DeltaCodec(MessageCodec):
    """Sends what is new behind the part that a message begins with like the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self._sent = self._received = b""

    def encode_message(self, data: bytes) -> Any:
        pairs = zip(self._sent, data, strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if old != new), 0)
        self._sent = data
        return same.to_bytes(4, "big") + data[same:]

    def decode_message(self, data: bytes, budget: int) -> Any:
        self._received = self._received[: int.from_bytes(data[:4], "big")] + data[4:]
        return self._received


class _AsyncDeltaCodec(_DeltaCodec):
    """Takes its time after its state has changed."""

    async def encode_message(self, data: bytes) -> bytes:
        encoded: bytes = super().encode_message(data)
        await asyncio.sleep(0.001 * (len(data) % 3))
        return encoded

    async def decode_message(self, data: bytes, budget: int) -> bytes:
        await asyncio.sleep(0)
        decoded: bytes = super().decode_message(data, budget)
        return decoded


class Delta(Extension):
    """A synchronous delta."""

    name: ClassVar[str] = "x-delta"
    phase: ClassVar[Phase] = Phase.SEMANTIC
    codec: ClassVar[type[Codec]] = _DeltaCodec

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return self.codec()


class AsyncDelta(Delta):
    """An asynchronous one."""

    name: ClassVar[str] = "x-async-delta"
    codec: ClassVar[type[Codec]] = _AsyncDeltaCodec


async def find_key(key_id: str) -> bytes:
    await asyncio.sleep(0.01)
    return key_id.encode().ljust(32)


def message_of(side: str, number: int) -> str | bytes:
    """A text or binary message of up to 4 KB that begins like others and is hard to compress."""
    rng = Random(f"{side} {number}")
    text = f"{side} {number} {rng.randbytes(rng.choice((10, 100, 2000))).hex()}"
    return text.encode() if number % 3 == 0 else text


class Side:
    """What one side has sent, and what has come to it.

    Attributes:
        cancelled: The numbers of the messages whose sends were cancelled.
        arrived: The numbers of those that have come.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.cancelled: set[int] = set()
        self.arrived: list[int] = []
        self._random = Random(f"{name} {seed}")

    async def run(self, session: Session, other: Side) -> None:
        """Send everything, receive everything."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(session))
            tasks.create_task(self._receive(session, other))

    async def _send(self, session: Session) -> None:
        rng = self._random
        sending: list[asyncio.Task[None]] = []
        for number in range(MESSAGES):
            task = asyncio.create_task(session.send(message_of(self.name, number)))
            task.add_done_callback(lambda task, number=number: self._sent(task, number))
            sending.append(task)
            if rng.random() < TRIED:
                asyncio.get_running_loop().call_later(rng.uniform(0, LATEST), task.cancel)
            if rng.random() < 0.3:  # up to then they queue
                await asyncio.wait(sending)
                sending.clear()
        await asyncio.gather(*sending, return_exceptions=True)
        await session.send(END)

    def _sent(self, task: asyncio.Task[None], number: int) -> None:
        if task.cancelled():
            self.cancelled.add(number)
        else:
            task.result()

    async def _receive(self, session: Session, other: Side) -> None:
        while (message := await session.receive()) != END:
            number = int(message.split(maxsplit=2)[1])
            assert message == message_of(other.name, number)
            self.arrived.append(number)


def stack_of(delta: type[Delta]) -> list[Any]:
    return [delta, "permessage-deflate", PermessageSeal(keys=find_key, key_ids=["one"])]


def app_of(stack: list[Any]) -> App:
    app = App(options=OPTIONS)
    for extension in stack:
        app.install(extension, required=True)
    return app


@pytest.mark.parametrize("delta", [Delta, AsyncDelta])
def test_all_that_arrives_is_right_though_sends_are_cancelled(delta: type[Delta]) -> None:
    client, server = Side("client", 1), Side("server", 1)
    stack = stack_of(delta)
    app = app_of(stack)

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await server.run(session, client)
        await session.wait_closed()

    async def scenario(world: World) -> None:
        running = await world.serve(app)
        async with world.connect(running, extensions=stack, options=OPTIONS) as session:
            assert len(session.extensions) == 3
            await client.run(session, server)
        assert session.close_info.code == 1000, str(session.close_info)

    simulate(scenario, seed=1, weather=NETWORK)
    for sender, receiver in ((client, server), (server, client)):
        assert receiver.arrived == sorted(set(receiver.arrived)), "out of order, or twice"
        missing = set(range(MESSAGES)) - set(receiver.arrived)
        assert missing <= sender.cancelled, "lost, though it was sent"
        assert len(sender.cancelled) >= MESSAGES * CANCELLED
        line = f"{sender.name} sent {MESSAGES}: {len(receiver.arrived)} arrived, "
        print(f"{line}{len(sender.cancelled)} sends were cancelled")  # noqa: T201


@pytest.mark.parametrize("delta", [Delta, AsyncDelta])
def test_a_stream_that_is_cancelled_half_way_fails_the_connection(delta: type[Delta]) -> None:
    """The codecs have taken a part of the message, so nothing right can follow it."""
    stack, arrived = stack_of(delta), []
    app = app_of(stack)

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async for message in session:
            arrived.append(message)

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "a part"
            await asyncio.sleep(1)

    async def scenario(world: World) -> int:
        running = await world.serve(app)
        async with world.connect(running, extensions=stack, options=OPTIONS) as session:
            await session.send("before")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.send(endless()), 3)
            with pytest.raises(ConnectionClosed):
                await session.send("after")
        return session.close_info.code

    assert simulate(scenario, seed=1, weather=NETWORK) == 1011
    assert arrived == ["before"]
