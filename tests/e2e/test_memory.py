"""A server's memory while its application reads nothing of what inflates, and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.codecs import deflated
from tests.e2e.measure_memory import (
    ATTACKS,
    KINDS,
    MIB,
    Attack,
    Target,
    attacked,
    serving_bombs,
)
from tests.raw import masked, raw_peer
from tests.waiting import at_rest
from wsext import Held, WebSocketOptions
from wsext.compiled import CODEC

#: What a session may cost, and what may be left of all of them. All of it is freed; what is left is
#: what the C library keeps for later, and that is more where objects of many sizes come and go.
PER_SESSION, LEFT = 8 * MIB, (32 if CODEC == "c" else 56) * MIB


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with serving_bombs(tmp_path, address_space=3 << 30) as target:
        yield target


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.sessions} sessions")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_inflates_costs_a_session_no_more_than_its_bound(
    target: Target, kind: str, attack: Attack
) -> None:
    bound = attack.sessions * PER_SESSION
    figures = await attacked(target, kind, attack, enough=bound, left=LEFT)
    assert figures.peak <= bound
    assert figures.left <= LEFT


#: What peers send that never read, each to the route that makes most of it; 20 sessions of each.
EMOJI = ("x" * (MIB - 4) + "\N{GRINNING FACE}").encode()
HALF = MIB // 2
WORST: dict[str, tuple[str, str, bytes]] = {
    "large messages that come back": ("/echo", "", masked(2, bytes(MIB)) * 9),
    "large texts with a wide character": ("/", "", masked(1, EMOJI) * 4),
    "a message and a frame that are not complete": (
        "/",
        "",
        masked(2, bytes(MIB - 300)) + masked(2, bytes(MIB - 1), False) + masked(0, b"xx")[:-1],
    ),
    "tiny messages that come back": ("/echo", "", masked(2) * 100_000),
    "messages of one byte": ("/", "", masked(1, b"x") * 50_000),
    "what inflates, in fragments": (
        "/",
        "permessage-deflate",
        masked(2, deflated(bytes(MIB)), rsv=0x40) * 2
        + masked(2, deflated(bytes(HALF)), False, 0x40)
        + masked(2, bytes(MIB))[:-1],
    ),
}


@pytest.mark.parametrize("worst", WORST)
async def test_no_session_holds_more_than_was_computed(target: Target, worst: str) -> None:
    path, offer, sent = WORST[worst]
    sessions = 20
    most = Held.at_most(WebSocketOptions()).total
    await target.waiting()
    before = target.memory()
    target.forget_peak()
    async with AsyncExitStack() as stack:
        for _ in range(sessions):
            peer = await stack.enter_async_context(raw_peer(target.port))
            more = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
            assert " 101 " in await peer.shake(path, more)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            peer.send(sent)
        await at_rest(lambda: target.memory() >> 18, looks=60)
        peak = target.peak() - before
        await target.end_all()
    assert peak <= sessions * most
