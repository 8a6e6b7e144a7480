"""The hub: it needs no app, gives out rooms, and starts and ends with its users."""

from __future__ import annotations

import asyncio
import logging

import pytest

from wsext import BackplaneStatus, Hub, RoomOptions
from wsext.rooms.backplanes.memory import MemoryBackplane


class Plane(MemoryBackplane):
    """Counts its lives."""

    started = closed = 0

    async def start(self, subscriber: Hub) -> None:  # type: ignore[override]
        self.started += 1
        await super().start(subscriber)

    async def close(self) -> None:
        self.closed += 1
        await super().close()


def make(url: str = "memory://") -> tuple[Hub, Plane]:
    plane = Plane(url)
    return Hub(RoomOptions, lambda: plane), plane


def test_a_name_is_one_room_while_somebody_has_it() -> None:
    hub, _ = make()
    room = hub.room("a")
    assert hub.room("a") is room
    assert hub.room("b") is not room
    assert hub.rooms == []
    for name in ("", "x" * 256, "ü" * 128):
        with pytest.raises(ValueError, match="1 to 255 bytes"):
            hub.room(name)


async def test_it_ends_after_its_last_user_and_may_start_again() -> None:
    hub, plane = make()
    for user in ("one", "two"):
        hub.hold(user)
        await hub.start()
    assert plane.started == 1
    first = hub.origin
    await hub.let_go("one")
    assert plane.closed == 0
    await hub.let_go("two")
    await hub.let_go("two")
    assert plane.closed == 1
    hub.hold("three")
    await hub.start()
    assert (plane.started, hub.origin != first) == (2, True)
    await hub.let_go("three")


async def test_what_is_said_before_the_backplane_is_there_is_sent_then() -> None:
    (hub, _), (other, _) = make("memory://shared"), make("memory://shared")
    assert await other.open("early") == []
    hub.room("early").broadcast_nowait("said")
    await hub.start()
    assert isinstance(hub.status, BackplaneStatus)
    assert [message.data for message in await other.open("early")] == ["said"]
    for one in (hub, other):
        await one.let_go("nobody")


async def test_a_task_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    hub, _ = make()

    async def fail() -> None:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR, "wsext.hub"):
        task = hub.spawn(fail())
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "broken" in caplog.text
