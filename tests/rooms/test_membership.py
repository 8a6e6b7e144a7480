"""A membership with a position: what its block does first, and what it is told is missing."""

from __future__ import annotations

import pytest

from tests.rooms.backplanes.processes import joined, processes
from tests.waiting import until
from wsext import App, Missed, OptionError, RoomMessage, RoomOptions, Session, testing


async def test_the_block_speaks_first() -> None:
    app = App(rooms=RoomOptions(recovery=True, history=9))
    room = app.room("tea")

    @app.websocket("/")
    async def chat(session: Session) -> None:
        async with room.join(session, since=session.request.query["since"]) as members:
            await session.send(f"recovered: {members.recovered}, {members.position}")
            await session.receive()

    await room.broadcast("before")
    async with testing.connect(app, "/?since=x:0") as session:
        assert str(await session.receive()).startswith("recovered: False")
    first = await room.broadcast("first")
    await room.broadcast("second")
    async with testing.connect(app, f"/?since={first}") as session:
        assert await session.receive() == f"recovered: True, {first}"
        assert await session.receive() == "second"


async def test_a_client_that_brings_garbage_is_refused() -> None:
    async with processes(None, 1, recovery=True) as (one,):
        for since in ("x", "x:", ":1", "x:-1", "x:" + "9" * 5000, "x" * 99 + ":1"):
            async with testing.connect(one.app, f"/tea?since={since}") as session:
                assert (await session.wait_closed()).remote == (
                    1008,
                    "a position is EPOCH:NUMBER, as it was sent",
                )


async def test_without_recovery_nothing_of_it_is_there() -> None:
    app = App()
    with pytest.raises(OptionError, match="recovery"):
        await app.room("tea").broadcast("x", id="1")
    assert await app.room("tea").broadcast("x") is None
    async with processes(None, 1) as (one,), joined(one, "tea") as a:
        assert a.members.position is None
        assert a.members.recovered
        with pytest.raises(OptionError, match="recovery"):
            one.app.room("coffee").join(a.members.session, since="x:1")


async def test_who_is_told_of_what_is_missing_is_not_closed() -> None:
    def fail(message: RoomMessage) -> str:
        if message.data == "bad":
            raise RuntimeError("broken")
        return str(message.data)

    app, told = App(rooms=RoomOptions(recovery=True, stamp=fail)), list[Missed]()

    @app.websocket("/")
    async def chat(session: Session) -> None:
        async with app.room("tea").join(session, on_missed=told.append):
            await session.receive()

    async with testing.connect(app) as session:
        await until(lambda: len(app.room("tea")) == 1)
        before = await app.room("tea").broadcast("good")
        lost = await app.room("tea").broadcast("bad")
        await app.room("tea").broadcast("better")
        assert [await session.receive(), await session.receive()] == ["good", "better"]
        assert told == [Missed("stamp", before, lost)]


async def test_a_slow_member_that_catches_up_is_closed_as_any_other() -> None:
    """What it is sent again has a bound of its own; what comes then goes by its policy."""
    app = App(rooms=RoomOptions(recovery=True, history=1, queue_bytes=4096))
    room, kib = app.room("tea"), "x" * 1024
    start = await room.broadcast("0")
    for _ in range(40):
        await room.broadcast(kib)

    @app.websocket("/")
    async def chat(session: Session) -> None:
        async with room.join(session, since=start, overflow="drop-oldest"):
            await session.wait_closed()

    async with testing.connect(app) as session:
        assert [await session.receive() for _ in range(40)] == [kib] * 40
        assert room.counters.dropped == 0
