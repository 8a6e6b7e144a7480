"""Who is in which room, told to a broker: only what has changed, and never out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.waiting import until
from wsext.rooms.backplanes.broker import Broker
from wsext.rooms.backplanes.roster import Roster

Change = tuple[str, str, bytes | None]


class Book:
    """As much of a broker as a roster needs."""

    def __init__(self) -> None:
        self.told: list[list[Change]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    async def put_members(self, changes: Sequence[Change]) -> None:
        self.told.append(sorted(changes))
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error

    def take(self) -> list[list[Change]]:
        told, self.told = self.told, []
        return told


def make() -> tuple[Roster, Book]:
    book = Book()
    return Roster(cast("Broker", book)), book


async def test_each_change_is_told_once() -> None:
    roster, book = make()
    roster.put("tea", "a", b"Ada")
    roster.put("tea", "b", b"Bob")
    await roster.flush()
    await roster.flush()
    roster.put("tea", "a", None)
    await roster.flush()
    assert book.take() == [[("tea", "a", b"Ada"), ("tea", "b", b"Bob")], [("tea", "a", None)]]


async def test_who_came_and_went_in_between_is_not_told_of() -> None:
    roster, book = make()
    roster.put("tea", "a", b"Ada")
    roster.put("tea", "a", None)
    await roster.flush()
    assert book.take() == []


async def test_everything_is_told_again_when_it_is_asked_for() -> None:
    roster, book = make()
    roster.put("tea", "a", b"Ada")
    await roster.flush()
    roster.change_all()
    await roster.flush()
    assert book.take() == [[("tea", "a", b"Ada")]] * 2
    roster.clear()
    await roster.flush()
    assert book.take() == [[("tea", "a", None)]]


async def test_what_a_broker_did_not_take_may_be_told_again_and_taken_back() -> None:
    roster, book = make()
    book.error = ConnectionError("away")
    roster.put("tea", "a", b"Ada")
    with pytest.raises(ConnectionError):
        await roster.flush()
    book.error = None
    roster.put("tea", "a", None)  # nobody knows whether the broker has it
    await roster.flush()
    assert book.take() == [[("tea", "a", b"Ada")], [("tea", "a", None)]]


async def test_a_change_does_not_overtake_an_earlier_one() -> None:
    roster, book = make()
    book.may_go_on.clear()
    roster.put("tea", "a", b"Ada")
    first: asyncio.Task[Any] = asyncio.create_task(roster.flush())
    second: asyncio.Task[Any] = asyncio.create_task(change(roster))
    asyncio.get_running_loop().call_soon(book.may_go_on.set)
    await asyncio.gather(first, second)
    assert book.take() == [[("tea", "a", b"Ada")], [("tea", "a", None)]]


async def test_a_flush_that_is_cancelled_leaves_its_changes_to_the_next() -> None:
    roster, book = make()
    roster.put("tea", "a", b"Ada")
    await roster.flush()
    book.may_go_on.clear()
    roster.put("tea", "a", None)
    flush = asyncio.create_task(roster.flush())
    await until(lambda: len(book.told) == 2)
    flush.cancel()
    await asyncio.wait([flush])
    book.may_go_on.set()
    book.take()
    roster.clear()
    await roster.flush()
    assert book.take() == [[("tea", "a", None)]]


async def change(roster: Roster) -> None:
    roster.put("tea", "a", None)
    await roster.flush()
