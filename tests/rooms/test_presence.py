"""Watching a room: each change is told once, whichever way it becomes known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tests.waiting import until
from wsext import Presence, PresenceChange
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


async def test_a_note_during_a_comparison_begins_it_anew() -> None:
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
