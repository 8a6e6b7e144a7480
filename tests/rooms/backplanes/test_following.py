"""Hearing without numbers of the broker: the contract as it was before there were any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.waiting import until
from wsext import Broker, Hub, OptionError, RemoteBackplane, RoomOptions
from wsext.rooms.backplanes.broker import Record


class Old(Broker):
    """A broker in memory, as one is written who knows nothing of numbers."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.followed = False

    async def connect(self, deliver: Any, lost: Any) -> None:
        self.deliver, self.lost = deliver, lost

    async def disconnect(self) -> None:
        self.followed = False

    async def append(self, records: Sequence[Record]) -> None:
        for record in records:
            self.log.append(record.data)
            if self.followed:
                self.deliver(record.room, len(self.log), record.data)

    async def note(self, room: str, data: bytes) -> None: ...

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        return list(enumerate(self.log, 1))[-count:]

    async def follow(self, room: str, after: Any) -> None:
        self.followed = True
        for place, data in enumerate(self.log, 1):
            if after is None or place > after:
                self.deliver(room, place, data)

    async def unfollow(self, room: str) -> None: ...
    async def put_members(self, changes: Sequence[Any]) -> None: ...
    async def members(self, room: str) -> dict[str, bytes]:
        return {}

    async def beat(self, origin: str, seconds: float) -> None: ...


async def test_a_broker_without_numbers_carries_rooms_as_before() -> None:
    broker = Old()
    hub = Hub(RoomOptions, lambda: RemoteBackplane("bus://", broker))
    await hub.start()
    room = hub.room("tea")
    assert await room.broadcast("a") is None
    await until(lambda: len(broker.log) == 1)
    broker.lost(ConnectionError("cut"))
    await until(lambda: hub.status.reconnects == 1)
    assert await room.broadcast("b") is None
    await until(lambda: len(broker.log) == 2)
    assert [message.data for message in await hub.open("tea")] == ["a", "b"]
    await hub.let_go("nobody")


async def test_it_cannot_recover_and_says_so() -> None:
    hub = Hub(lambda: RoomOptions(recovery=True), lambda: RemoteBackplane("bus://", Old()))
    with pytest.raises(OptionError, match="bus:// gives messages no positions"):
        await hub.start()


@pytest.mark.parametrize("error", [ValueError("x"), UnicodeError("x"), TypeError(), KeyError()])
async def test_what_cannot_be_read_of_one_room_costs_no_connection(error: Exception) -> None:
    """A broker should leave it out. One that does not harms that room only."""

    class Faulty(Old):
        async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
            if room == "tea":
                raise error
            return await super().tail(room, count)

        async def members(self, room: str) -> dict[str, bytes]:
            raise error

    broker = Faulty()
    hub = Hub(RoomOptions, lambda: RemoteBackplane("bus://", broker))
    await hub.start()
    tea = hub.room("tea")
    assert await hub.open(tea.name) == []
    assert await hub.room("coffee").broadcast("hello") is None
    broker.lost(ConnectionError("cut"))
    await until(lambda: hub.status.reconnects == 1)
    assert [message.data for message in await hub.open("coffee")] == ["hello"]
    assert await hub.presence(tea.name) == []
    assert (hub.status.reconnects, hub.status.unreadable) == (1, 3)
    await hub.let_go("nobody")
