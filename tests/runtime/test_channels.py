"""A session's frames as two channels."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from wsext import ConnectionClosedError, ConnectionClosedOK, Frame, Session, testing


@pytest.fixture
async def both() -> AsyncIterator[tuple[Session, Session]]:
    async with testing.pair() as (client, server):
        yield client, server


async def test_frames_come_as_they_were_sent(both: tuple[Session, Session]) -> None:
    client, server = both
    for frame in (Frame(1, "é".encode()), Frame(2, b"\x01"), Frame(2, memoryview(b"view"))):
        await client.outgoing.send(frame)
        assert await server.incoming.receive() == frame


async def test_fragments_and_control_frames_may_be_sent(both: tuple[Session, Session]) -> None:
    client, server = both
    for frame in (Frame(1, b"he", False), Frame(9, b"in between"), Frame(0, b"llo")):
        await client.outgoing.send(frame)
    assert await server.incoming.receive() == Frame(1, b"hello")


async def test_hints_and_metadata_of_a_frame_go_with_it(both: tuple[Session, Session]) -> None:
    client, _ = both
    seen: list[Frame] = []
    client.trace(lambda direction, stage, frame: seen.append(frame))
    await client.outgoing.send(Frame(1, b"x", hints={"compress": False}, meta={"a": 1}))
    assert (seen[0].hints, seen[0].meta) == ({"compress": False}, {"a": 1})


async def test_iterating_ends_with_the_session(both: tuple[Session, Session]) -> None:
    client, server = both
    await client.send("one")
    await client.send("two")
    await client.close()
    assert [bytes(frame.payload) async for frame in server.incoming] == [b"one", b"two"]
    with pytest.raises(ConnectionClosedOK):
        await server.incoming.receive()
    with pytest.raises(ConnectionClosedOK):
        await server.outgoing.send(Frame(1, b"too late"))


async def test_iterating_tells_of_an_end_that_was_not_clean(both: tuple[Session, Session]) -> None:
    client, server = both
    client.abort()
    with pytest.raises(ConnectionClosedError):
        async for _ in server.incoming:
            pass
