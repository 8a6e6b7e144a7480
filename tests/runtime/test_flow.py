"""Where messages go while the application has no room, and while the peer reads nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext
from tests.raw import raw_peer
from tests.runtime.sessions import Ends
from tests.waiting import at_rest
from wsext import (
    App,
    ConnectionClosedError,
    QueueFull,
    Session,
    WebSocketOptions,
)


async def test_send_waits_while_the_peer_does_not_read() -> None:
    app = App(options=WebSocketOptions(outgoing_bytes=64 * 1024))
    sent = 0
    finished = asyncio.Event()

    @app.websocket("/")
    async def flood(session: Session) -> None:
        nonlocal sent
        for _ in range(2000):
            await session.send(b"x" * 65536)
            sent += 1
        finished.set()

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        await at_rest(lambda: sent)
        assert not finished.is_set()
        assert 0 < session.buffered_amount < 1 << 20
        count = 0
        while (frame := await peer.frame()) is not None and frame.opcode == 2:
            count += 1
        assert count == 2000


@pytest.mark.parametrize("policy", ["suspend", "close", "drop-oldest"])
async def test_send_nowait_goes_by_the_overflow_policy(policy: str) -> None:
    ends = Ends(outgoing_bytes=32 * 1024, outgoing_overflow=policy, close_timeout=0.1)
    outcome: asyncio.Queue[Any] = asyncio.Queue()

    @ends.route
    async def flood(session: Session) -> None:
        try:
            for _ in range(3000):
                session.send_nowait(b"x" * 16384)
                await asyncio.sleep(0)
            outcome.put_nowait(session.stats.dropped_out)
        except Exception as error:
            outcome.put_nowait(error)
        session.abort()

    async with wsext.serve(ends.app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        result = await outcome.get()
        info = await ends.infos.get()
    if policy == "suspend":
        assert isinstance(result, QueueFull)
    elif policy == "close":
        assert info.local is None  # the Close frame could not leave
        assert (info.code, info.reason) == (1013, "peer reads too slowly")
    else:
        assert result > 100


@pytest.mark.parametrize("policy", ["suspend", "close", "drop-oldest"])
async def test_messages_that_nobody_takes_go_by_the_overflow_policy(policy: str) -> None:
    app = App(options=WebSocketOptions(incoming_capacity=4, incoming_overflow=policy))
    go = asyncio.Event()
    got: list[Any] = []
    done = asyncio.Event()

    @app.websocket("/")
    async def slow(session: Session) -> None:
        await go.wait()
        try:
            async for message in session:
                got.append(message)
        except ConnectionClosedError as error:
            got.append(error.info.code)
        finally:
            done.set()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        for number in range(100):
            await session.send(str(number))
        if policy == "close":
            assert (await session.wait_closed()).code == 1013
        elif policy == "drop-oldest":
            await session.ping()  # everything before it has been received
        go.set()
        await session.close()
        await done.wait()
    if policy == "suspend":
        assert got == [str(number) for number in range(100)]
    elif policy == "drop-oldest":
        assert got == ["96", "97", "98", "99"]
    else:
        assert got[-1] == 1013
