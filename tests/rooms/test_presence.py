"""Watching a room: each change is told once, whichever way it becomes known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import brokers
from tests.rooms.backplanes.processes import joined, processes
from tests.waiting import until
from wsext import Presence, PresenceChange, PresenceFeed
from wsext.rooms.presence import Watch

ME, ANN, BOB = Presence("1.s1", "me"), Presence("2.s1", "ann"), Presence("3.s1", "bob")


class Place:
    """A room that a test fills."""

    def __init__(self, *members: Presence) -> None:
        self.members = list(members)
        self.compared = 0

    def here(self) -> list[Presence]:
        return [member for member in self.members if member.id.startswith("1.")]

    async def presence(self) -> list[Presence]:
        return list(self.members)

    def compare_presence(self, *, first: bool = False) -> None:
        self.compared += first


async def rest(watch: Watch, changes: AsyncIterator[PresenceChange]) -> list[tuple[str, str]]:
    watch.end(ME)
    return [(change.kind, change.member.name) async for change in changes]


async def test_notes_are_told_once() -> None:
    watch, place = Watch(), Place(ME)
    watch.tell("join", ANN)  # nobody follows yet
    changes = watch.follow(place, ME)
    assert place.compared == 1
    for _ in range(2):
        watch.tell("join", ANN)
    for _ in range(2):
        watch.tell("leave", ANN)
    assert await rest(watch, changes) == [("join", "ann"), ("leave", "ann")]
    assert not watch.is_followed


async def test_who_is_there_at_first_is_no_news_and_lost_notes_are_made_up_for() -> None:
    watch, place = Watch(), Place(ME, ANN)
    changes = watch.follow(place, ME)
    await watch.compare(place, first=True)
    place.members = [ME, BOB]
    await watch.compare(place)
    watch.tell("join", BOB)  # the note was only late
    assert await rest(watch, changes) == [("join", "bob"), ("leave", "ann")]


async def test_a_note_during_a_comparison_counts() -> None:
    watch = Watch()

    class Busy(Place):
        async def presence(self) -> list[Presence]:
            before = list(self.members)
            if ANN not in self.members:
                self.members.append(ANN)
                watch.tell("join", ANN)
            return before

    place = Busy(ME)
    changes = watch.follow(place, ME)
    await watch.compare(place)
    assert await rest(watch, changes) == [("join", "ann")]


async def test_many_who_ask_for_a_comparison_share_one() -> None:
    watch, place = Watch(), Place(ME, ANN)
    may_answer, asked = asyncio.Event(), 0

    class Slow(Place):
        async def presence(self) -> list[Presence]:
            nonlocal asked
            asked += 1
            await may_answer.wait()
            return list(self.members)

    place = Slow(ME, ANN)
    changes = watch.follow(place, ME)
    comparing = [asyncio.ensure_future(watch.compare(place, first=not n)) for n in range(100)]
    await until(lambda: asked == 1)
    may_answer.set()
    await asyncio.gather(*comparing)
    assert asked == 2
    watch.tell("leave", ANN)
    assert await rest(watch, changes) == [("leave", "ann")]


async def test_whoever_does_not_keep_up_misses_the_oldest() -> None:
    watch, place = Watch(), Place(ME)
    changes = watch.follow(place, ME)
    for number in range(1001):
        watch.tell("join", Presence(f"4.s{number}", str(number)))
    first = await anext(changes)
    assert first.member.name == "1"


async def roll_call(url: str | None, count: int) -> None:
    """Each of them joins, asks who is there and follows the changes: who does each know of?"""
    async with processes(url, 2) as made:
        known: list[set[str]] = []
        going = asyncio.Event()

        async def attend(number: int) -> None:
            process = made[number % 2]
            async with (
                joined(process, f"tea?name={number}") as client,
                client.members.follow_presence() as who,
            ):
                names = {member.name for member in who.present}
                known.append(names)
                async with asyncio.timeout(15):
                    while len(names) < count:
                        change = await anext(who)
                        assert change.kind == "join"
                        assert change.member.name not in names  # nobody is told of twice
                        names.add(change.member.name)
                if all(len(each) == count for each in known) and len(known) == count:
                    going.set()
                await going.wait()

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(attend(number))
        everybody = {str(number) for number in range(count)}
        assert known == [everybody] * count


@pytest.mark.parametrize("kind", ["memory", "redis", "nats"])
async def test_of_forty_that_join_at_once_everybody_knows_everybody(
    kind: str, tmp_path: Path
) -> None:
    """With "ask, then listen", 39 of 40 never learn of somebody."""
    if kind == "memory":
        await roll_call(None, 40)
        return
    with brokers.running(kind, tmp_path) as broker:
        await roll_call(broker.url, 40)


async def test_who_is_there_and_the_changes_from_then_on() -> None:
    watch, place = Watch(), Place(ME, ANN)
    feed = PresenceFeed(watch, place, ME)
    entering = asyncio.ensure_future(feed.__aenter__())
    await until(lambda: place.compared == 1)
    assert not entering.done()
    watch.tell("join", BOB)  # before anybody knows who is there: it is one of those
    await watch.compare(place, first=True)
    assert await entering is feed
    assert feed.present == [ME, ANN]
    place.members = [ME, BOB]
    watch.tell("join", BOB)
    watch.tell("leave", ANN)
    watch.tell("join", ANN)
    watch.tell("leave", ANN)
    changes = [await anext(feed), await anext(feed)]
    assert [(c.kind, c.member.name) for c in changes] == [("join", "bob"), ("leave", "ann")]
    async with PresenceFeed(watch, place, ME) as later:  # it is known now
        assert later.present == [ME, BOB]
    assert [change async for change in later] == []
    watch.end(ME)
    assert [change async for change in feed] == []


async def test_a_note_that_comes_after_the_state_it_tells_of_is_told_once() -> None:
    """Somebody was in the state that was read, and the note of it comes later."""
    watch, place = Watch(), Place(ME, ANN)
    changes = watch.follow(place, ME)
    feed = PresenceFeed(watch, place, ME)
    entering = asyncio.ensure_future(feed.__aenter__())
    await asyncio.sleep(0)
    await watch.compare(place, first=True)
    await entering
    assert [member.name for member in feed.present] == ["me", "ann"]
    watch.tell("join", ANN)
    watch.tell("leave", ANN)
    told = [await anext(feed)]
    assert [(c.kind, c.member.name) for c in told] == [("leave", "ann")]
    assert await rest(watch, changes) == [("join", "ann"), ("leave", "ann")]


async def test_a_note_that_comes_while_the_state_is_read_counts() -> None:
    watch = Watch()

    class Busy(Place):
        """Whoever is read has gone when the reading ends, and another has come."""

        async def presence(self) -> list[Presence]:
            before = list(self.members)
            watch.tell("leave", ANN)
            watch.tell("join", BOB)
            return before

    place = Busy(ME, ANN)
    feed = PresenceFeed(watch, place, ME)
    entering = asyncio.ensure_future(feed.__aenter__())
    await asyncio.sleep(0)
    await watch.compare(place, first=True)
    await entering
    assert [member.name for member in feed.present] == ["me", "bob"]


async def test_many_changes_that_nobody_reads_become_few() -> None:
    watch, place = Watch(), Place(ME)
    feed = PresenceFeed(watch, place, ME)
    entering = asyncio.ensure_future(feed.__aenter__())
    await asyncio.sleep(0)
    await watch.compare(place, first=True)
    await entering
    for _ in range(5000):
        watch.tell("join", ANN)
        watch.tell("leave", ANN)
    watch.tell("join", BOB)
    assert (await anext(feed)).member == BOB
