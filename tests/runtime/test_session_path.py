"""What happens for every message: a send warns when nobody awaits it, and has little to do."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

import wsext
from tests.raw import raw_peer
from tests.runtime.sessions import SOON, app_of, frames_until_the_end, messages_of, turn, two_parts
from wsext import QueueFull, Session


async def fill(session: Session) -> int:
    """Send until nothing more leaves; how many messages that took."""
    count = 0
    try:
        while True:
            session.send_nowait(bytes(65536))
            count += 1
            await turn()
    except QueueFull:
        return count


def warned(forget: Callable[[], Any]) -> bool:
    """Whether Python warns of a coroutine that nobody awaits."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        forget()
    return any("never awaited" in str(item.message) for item in found)


FORGETFUL: dict[str, Callable[[Session], Any]] = {
    "text": lambda session: session.send("forgotten"),
    "bytes": lambda session: session.send(b"forgotten"),
    "like bytes": lambda session: session.send(bytearray(b"forgotten")),
    "prepared": lambda session: session.send(wsext.PreparedMessage("forgotten")),
    "json": lambda session: session.send_json({"forgotten": True}),
}


@pytest.mark.parametrize("forget", FORGETFUL.values(), ids=FORGETFUL)
async def test_a_send_that_nobody_awaits_warns_and_sends_nothing(
    forget: Callable[[Session], Any],
) -> None:
    outcome: list[bool] = []

    async def handler(session: Session) -> None:
        outcome.append(warned(lambda: forget(session)))
        await session.send("awaited")

    async with wsext.serve(app_of(handler)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await frames_until_the_end(peer) == [(1, b"awaited"), (8, b"\x03\xe8")]
    assert outcome == [True]


async def test_a_client_s_send_that_nobody_awaits_warns_and_sends_nothing() -> None:
    got: list[Any] = []

    async def handler(session: Session) -> None:
        got.extend([message async for message in session])

    async with (
        wsext.serve(app_of(handler)) as server,
        wsext.connect(server.url) as session,
    ):
        outcome = warned(lambda: session.send("forgotten"))
        await session.send("awaited")
        await session.close()
    assert got == ["awaited"]
    assert outcome


async def test_a_send_that_nobody_awaits_does_the_same_while_the_peer_is_slow() -> None:
    outcome: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()

    async def handler(session: Session) -> None:
        sent = await fill(session)
        outcome.put_nowait((sent, warned(lambda: session.send("forgotten"))))
        await session.close()

    app = app_of(handler, close_timeout=60)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        async with asyncio.timeout(SOON):
            sent, has_warned = await outcome.get()
        opcodes: list[int] = []
        async with asyncio.timeout(SOON):
            while 8 not in opcodes and (frame := await peer.frame()) is not None:
                opcodes.append(frame.opcode)
    assert opcodes == [2] * sent + [8]
    assert has_warned


async def test_an_awaited_send_may_be_a_task_gathered_or_limited_in_time() -> None:
    async def handler(session: Session) -> None:
        await asyncio.create_task(session.send("task"))
        await asyncio.gather(session.send("a"), session.send("b"))
        await asyncio.wait_for(session.send("in time"), SOON)
        async with asyncio.timeout(SOON):
            await session.send("in time, too")
        kept = session.send("later")
        await session.send("first")
        await kept

    async with wsext.serve(app_of(handler)) as server, wsext.connect(server.url) as session:
        assert await messages_of(session) == [
            *("task", "a", "b", "in time", "in time, too", "first", "later")
        ]


def steps_of(make: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """How many Python functions run in a send that has nothing to wait for."""
    count = 0

    def step(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(step)
    try:
        work = make()
        with suppress(StopIteration):
            work.send(None)
            raise AssertionError("it waits")
    finally:
        sys.setprofile(before)
    return count


async def test_a_send_after_a_stream_has_no_more_to_do_than_before_it() -> None:
    found: list[int] = []

    async def handler(session: Session) -> None:
        def send() -> Coroutine[Any, Any, None]:
            return session.send("x")

        steps_of(send)  # whatever is done once only
        found.append(steps_of(send))
        await session.send(two_parts())
        found.append(steps_of(send))

    async with wsext.serve(app_of(handler)) as server, wsext.connect(server.url) as session:
        assert await messages_of(session) == ["x", "x", "one two", "x"]
    before, after = found
    assert after <= before
