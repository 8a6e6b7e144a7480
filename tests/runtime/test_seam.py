"""The seam between a session and its connection: a session goes on with another connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from wsext import App, ConnectionClosed, Message, Session
from wsext.protocol.connection import Connection
from wsext.runtime.life import LIFE, LifeEvent, LifeStage, life_of
from wsext.sdk.installed import make_pipeline
from wsext.testing import connect
from wsext.testing.memory import Wire


class Peer(asyncio.Protocol):
    """The other side of a second connection: an engine on a transport."""

    def __init__(self) -> None:
        self.connection = Connection("client")
        self.received: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.transport: Any = None

    def data_received(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            if isinstance(event, Message):
                self.received.put_nowait(event.data)
        self._write()

    def send(self, data: str) -> None:
        self.connection.send_message(data)
        self._write()

    def close(self) -> None:
        self.connection.send_close(1000)
        self._write()

    def _write(self) -> None:
        self.transport.writelines(self.connection.data_to_send())


def attach(session: Session) -> Peer:
    """Give a detached session another connection."""
    peer = Peer()
    wire = Wire()
    wire.client.set_protocol(peer)
    peer.transport = wire.client
    engine = Connection("server", make_pipeline(session.negotiation, 1 << 20))
    life_of(session).attach(engine, wire.server)
    return peer


async def test_a_session_goes_on_with_another_connection() -> None:
    app = App()
    sessions: list[Session] = []
    closed: list[int] = []

    @app.websocket("/")
    async def echo(session: Session) -> None:
        sessions.append(session)
        life_of(session).keep = True
        async for message in session:
            await session.send(f"{message} {session.stats.messages_in}")
        closed.append(session.close_info.code)

    async with connect(app, "/") as client:
        await client.send("one")
        assert await client.receive() == "one 1"
        (session,) = sessions
        life = life_of(session)
        client.abort()
        await until(lambda: life.stage is LifeStage.DETACHED)

        assert session.is_open
        assert not closed
        session.send_nowait("waits")
        sending = asyncio.create_task(session.send("waits as well"))
        await asyncio.sleep(0)
        assert not sending.done()
        assert session.buffered_amount == len("waits" + "waits as well")

        peer = attach(session)
        assert [await peer.received.get() for _ in range(2)] == ["waits", "waits as well"]
        await sending
        peer.send("two")
        assert await peer.received.get() == "two 2"  # the same handler, the same totals
        peer.close()
        await until(lambda: bool(closed))
    assert closed == [1000]
    assert life.stage is LifeStage.RELEASED


async def test_a_session_without_a_connection_ends_when_it_is_closed_or_expires() -> None:
    app = App()
    sessions: asyncio.Queue[Session] = asyncio.Queue()

    @app.websocket("/")
    async def wait(session: Session) -> None:
        life_of(session).keep = True
        sessions.put_nowait(session)
        with pytest.raises(ConnectionClosed):
            await session.receive()

    for end in (lambda life: life.expire(), lambda life: life.close(1000, "")):
        async with connect(app, "/") as client:
            session = await sessions.get()
            life = life_of(session)
            client.abort()
            await until(lambda life=life: life.stage is LifeStage.DETACHED)
            sending = asyncio.create_task(session.send("never leaves"))
            await asyncio.sleep(0)
            end(life)
            with pytest.raises(ConnectionClosed):
                await sending
            await until(lambda life=life: life.stage is LifeStage.RELEASED)


def test_every_stage_but_the_first_is_reached_and_every_stage_but_the_last_is_left() -> None:
    reached = {LifeStage.NEW, *LIFE.values()}
    left = {stage for stage, _ in LIFE}
    assert reached == set(LifeStage)
    assert left == set(LifeStage) - {LifeStage.RELEASED}
    assert {event for _, event in LIFE} == set(LifeEvent)
