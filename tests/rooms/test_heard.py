"""What members get of a message, and when some are missing."""

from __future__ import annotations

import pytest

from tests.rooms.backplanes.processes import joined, processes
from wsext import ConnectionClosed, PreparedMessage, RoomMessage


async def test_a_stamp_may_make_metadata_and_is_called_once_for_all() -> None:
    calls: list[RoomMessage] = []

    def made(message: RoomMessage) -> PreparedMessage:
        calls.append(message)
        return PreparedMessage(message.data, meta={"position": str(message.position)})

    async with (
        processes(None, 1, recovery=True, stamp=made) as (one,),
        joined(one, "tea") as a,
        joined(one, "tea") as b,
    ):
        position = await a.members.broadcast("x", id="7", key="k", meta={"m": 1})
        assert await a.receive(1) == await b.receive(1) == ["x"]
        assert position is not None
        assert calls == [RoomMessage("x", position, "7", "k", None, {"m": 1})]


async def test_a_stamp_that_fails_is_no_silent_loss(caplog: pytest.LogCaptureFixture) -> None:
    def fail(message: RoomMessage) -> str:
        if message.data == "bad":
            raise RuntimeError("broken")
        return str(message.data)

    async with processes(None, 1, recovery=True, stamp=fail) as (one,), joined(one, "tea") as a:
        await a.members.broadcast("good")
        await a.members.broadcast("bad")
        assert await a.receive(1) == ["good"]
        with pytest.raises(ConnectionClosed) as caught:
            await a.session.receive()
        assert caught.value.info.remote == (1012, "messages are missing")
        assert a.members.missed is not None
        assert a.members.missed.reason == "stamp"
    assert "stamp failed" in caplog.text
