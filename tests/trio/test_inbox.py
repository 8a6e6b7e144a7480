"""What was received and waits for the program."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.trio.peers import on_trio
from wsext import CloseInfo, ConnectionClosedOK, Frame, Message
from wsext.trio.inbox import TrioInbox


def message(text: str) -> Message:
    return Message(text, len(text.encode()))


def make(
    capacity: int = 2, max_bytes: int = 100, on_room: Callable[[], None] = lambda: None
) -> TrioInbox:
    return TrioInbox(capacity, max_bytes, on_room)


def ended() -> BaseException:
    return ConnectionClosedOK(CloseInfo())


async def data(inbox: TrioInbox) -> Any:
    item = await inbox.take()
    assert isinstance(item, Message)
    return item.data


@on_trio
async def test_items_come_out_in_order_and_then_the_end() -> None:
    inbox = make()
    assert inbox.put(message("a"))
    inbox.put(Frame(2, b"b"))
    inbox.end(ended)
    assert (len(inbox), inbox.size) == (2, 2)
    assert await data(inbox) == "a"
    assert await inbox.take() == Frame(2, b"b")
    for _ in range(2):
        with pytest.raises(ConnectionClosedOK):
            await inbox.take()
    assert (len(inbox), inbox.size) == (0, 0)


@pytest.mark.parametrize(("capacity", "size", "fits"), [(2, 1, 2), (100, 40, 2)])
@on_trio
async def test_it_is_full_by_number_and_by_bytes(capacity: int, size: int, fits: int) -> None:
    made = []
    inbox = make(capacity, 100, lambda: made.append(len(inbox)))
    for _ in range(fits):
        assert inbox.put(message("x" * size))
    assert not inbox.put(message("x" * size))
    assert inbox.full
    while len(inbox):
        await inbox.take()
    assert made == [1]
    assert not inbox.full


@on_trio
async def test_every_reader_that_waits_gets_its_item() -> None:
    inbox, got = make(), []

    async def read() -> None:
        got.append(await data(inbox))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        for text in "abc":
            assert inbox.put(message(text))  # none of them waits itself
    assert sorted(got) == ["a", "b", "c"]


@on_trio
async def test_a_cancelled_reader_takes_nothing() -> None:
    inbox = make()
    with trio.move_on_after(1) as waiting:
        await inbox.take()
    assert waiting.cancelled_caught
    inbox.put(message("a"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    assert await data(inbox) == "a"


@on_trio
async def test_the_oldest_are_dropped_and_the_newest_stays() -> None:
    inbox = make(2, 10)
    for text in ("a", "b", "c", "d"):
        inbox.put(message(text))
    inbox.drop_oldest()
    assert (inbox.dropped, len(inbox), inbox.full) == (2, 2, False)
    inbox.put(message("x" * 50))
    inbox.drop_oldest()
    assert (inbox.dropped, inbox.size) == (4, 50)
    assert await data(inbox) == "x" * 50


@on_trio
async def test_it_can_be_cleared_and_can_refuse_more() -> None:
    made: list[int] = []
    inbox = make(1, 100, lambda: made.append(1))
    inbox.put(message("a"))
    assert not inbox.put(message("b"))
    inbox.clear()
    assert (len(inbox), inbox.size, made) == (0, 0, [1])
    inbox.refuse()
    assert inbox.put(message("c"))
    assert len(inbox) == 0


@on_trio
async def test_one_wide_character_does_not_make_a_text_that_waits_four_times_as_large() -> None:
    inbox = make(100, 1 << 30)
    tracemalloc.start()
    inbox.put(Message("x" * 1_000_000 + chr(0x1F600), 1_000_004))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_500_000
    assert await data(inbox) == "x" * 1_000_000 + chr(0x1F600)
