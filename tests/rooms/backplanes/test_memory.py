"""The backplane of one process: who shares a name, and what is kept of a room."""

from __future__ import annotations

import pytest

from wsext import Hub, OptionError, RoomOptions
from wsext.rooms.backplanes.memory import MemoryBackplane


class Listening:
    """As much of a hub as a backplane needs."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.heard: list[tuple[str, bytes]] = []

    def receive(self, room: str, payload: bytes) -> None:
        self.heard.append((room, payload))

    def resynced(self) -> None:
        raise AssertionError("it is never away")


async def started(url: str, origin: str) -> tuple[MemoryBackplane, Listening]:
    plane, listening = MemoryBackplane(url), Listening(origin)
    await plane.start(listening)
    return plane, listening


async def test_those_of_one_name_hear_each_other_in_the_rooms_that_they_have_open() -> None:
    (one, first), (two, second), (other, third) = [
        await started(url, origin)
        for url, origin in (("memory://a", "1"), ("memory://a", "2"), ("memory://b", "3"))
    ]
    for plane in (one, two, other):
        await plane.open("tea", 0)
    one.publish("tea", b"hello")
    one.publish("coffee", b"nobody has it open")
    await two.shut("tea")
    one.publish("tea", b"too late")
    assert (first.heard, second.heard, third.heard) == ([], [("tea", b"hello")], [])
    assert (one.status.published, two.status.received) == (3, 1)
    for plane in (one, two, other):
        await plane.close()


async def test_apps_without_a_name_share_nothing() -> None:
    (one, _), (two, second) = await started("memory://", "1"), await started("memory://", "2")
    await two.open("tea", 0)
    one.publish("tea", b"alone")
    assert second.heard == []
    assert await one.open("tea", 5) == [b"alone"]


async def test_so_many_messages_and_bytes_are_kept_of_so_many_rooms() -> None:
    plane, _ = await started("memory://?retain=3&retain_bytes=10&rooms=2", "1")
    for number in range(5):
        plane.publish("tea", b"%d" % number)
    plane.publish("tea", b"not kept", kept=False)
    assert await plane.open("tea", 10) == [b"2", b"3", b"4"]
    assert await plane.open("tea", 2) == [b"3", b"4"]
    assert await plane.open("tea", 0) == []
    plane.publish("tea", b"x" * 9)
    assert await plane.open("tea", 10) == [b"4", b"x" * 9]
    plane.publish("tea", b"y" * 50)  # too large; and without it the others would have a gap
    assert await plane.open("tea", 10) == []
    plane.publish("tea", b"z")
    for room in ("coffee", "water"):
        plane.publish(room, b"x")
    assert await plane.open("tea", 10) == []  # used least lately


async def test_an_open_room_keeps_its_numbers_however_many_there_are() -> None:
    plane, _ = await started("memory://?rooms=1", "1")
    rooms = [f"room {number}" for number in range(30)]
    before = [(await plane.open_log(room, 0))[0] for room in rooms]
    assert [(await plane.open_log(room, 0))[0] for room in rooms] == before
    for room in rooms:
        await plane.shut(room)
    after = [(await plane.open_log(room, 0))[0] for room in reversed(rooms)]
    same = [position == known for position, known in zip(reversed(after), before, strict=True)]
    assert same == [False] * 20 + [True] * 10  # of those that nobody has open, the last are known


async def test_members_go_with_their_process() -> None:
    (one, _), (two, _) = await started("memory://c", "1."), await started("memory://c", "2.")
    await one.enter("tea", "1.a", b"Ada")
    await two.enter("tea", "2.b", b"Bob")
    assert await one.members("tea") == {"1.a": b"Ada", "2.b": b"Bob"}
    await two.close()
    assert await one.members("tea") == {"1.a": b"Ada"}
    await one.leave("tea", "1.a")
    assert await one.members("tea") == {}


async def test_a_hub_runs_on_it() -> None:
    hubs = [Hub(RoomOptions, lambda: MemoryBackplane("memory://d")) for _ in range(2)]
    for hub in hubs:
        hub.hold(hub)
        await hub.start()
    hubs[0].room("tea").broadcast_nowait("said")
    assert [message.data for message in await hubs[1].open("tea")] == ["said"]
    for hub in hubs:
        await hub.let_go(hub)


@pytest.mark.parametrize("query", ["retain=0", "rooms=x", "nothing=1"])
def test_its_url_is_checked(query: str) -> None:
    with pytest.raises(OptionError, match=query.partition("=")[0]):
        MemoryBackplane(f"memory://?{query}")
