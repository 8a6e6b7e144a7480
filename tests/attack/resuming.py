"""Attacks with sessions that are kept without a connection."""

from __future__ import annotations

import re
import secrets

from tests.attack.peers import Peer
from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target
from tests.raw import masked

OWN = ("http1", "tls", "workers")
#: So that what is kept has gone when it is counted.
SHORTLY = ("--ext", "session-resume:window=1")


async def _open(target: Target, offer: str) -> tuple[Peer, str]:
    """A handshake with an offer of session-resume; the connection, and the answer's head."""
    peer = await target.tcp()
    head = await peer.shake("/", f"Sec-WebSocket-Extensions: session-resume{offer}\r\n")
    return peer, head


def _id_in(head: str) -> str:
    found = re.search(r"session-resume; id=([^;\s]+)", head)
    return found[1] if found else ""


@attack(
    "guesses of ids",
    "a guessed, stolen or old id of `session-resume`",
    fronts=OWN,
    sessions=8,
    options={"server.handshake_rate": None},
)
async def guesses(target: Target) -> None:
    async def one(number: int) -> None:
        peer, head = await _open(target, f"; id={secrets.token_urlsafe(24)}; received=0")
        assert "fresh=" in head or not head.startswith("HTTP/1.1 101"), head
        peer.send(masked(8, b"\x03\xe8"))
        await peer.reader.read()
        peer.close()

    while target.time_is_left:
        await target.each(100, one, at_once=8)


@attack(
    "sessions that are left behind",
    "sessions left behind without a connection",
    fronts=("http1", "tls"),  # the bounds hold for each worker
    sessions=28,
    options={"server.handshake_rate": None},
    args=SHORTLY,
)
async def left_behind(target: Target) -> None:
    """Each has an echo of 64 KiB that nobody acknowledges."""
    message = masked(2, bytes(1 << 16))

    async def one(number: int) -> None:
        peer, _ = await _open(target, "")
        await peer.push(message)
        await peer.reader.read(1 << 10)
        peer.close()

    while target.time_is_left:
        await target.each(100, one, at_once=8)


@attack(
    "an id that is used again and again",
    "an id that two clients use in turn",
    fronts=OWN,
    options={"server.handshake_rate": None},
    args=SHORTLY,
)
async def used_in_turn(target: Target) -> None:
    _, head = await _open(target, "")
    in_turn = 0
    while target.time_is_left:
        try:
            _, head = await _open(target, f"; id={_id_in(head)}; received=0")
        except DROPPED:
            continue
        in_turn = 0 if "fresh=" in head else in_turn + 1
        assert in_turn <= 40, f"one session was resumed {in_turn} times"
