"""Attacks with connections: too many, silent ones, and what runs out with them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.attack.peers import Peer
from tests.attack.registry import attack
from tests.attack.target import DROPPED, HANDSHAKE, Target
from tests.raw import REQUEST

EVERYWHERE = ("http1", "tls", "workers", "uvicorn", "trio")
#: A ClientHello's first bytes, of a record that never ends.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)


async def _is_dropped(peer: Peer) -> None:
    """Wait until the server has ended a connection, whatever it says before."""
    with suppress(*DROPPED):
        while await peer.reader.read(1 << 16):
            pass


async def _silent(target: Target, count: int, first: bytes = b"") -> None:
    """Open connections that say this and no more; all have to be dropped in time."""

    async def one(number: int) -> None:
        peer = await target.tcp(tls=False)
        peer.send(first)
        await _is_dropped(peer)
        peer.close()

    async with asyncio.timeout(target.seconds + 10):
        await target.each(count, one, at_once=count)


@attack(
    "connections that never begin a TLS handshake",
    "TLS handshakes that do not go on",
    fronts=("tls",),
    sessions=8,
    options={"server.max_connections": 100},
    newcomers=False,
)
async def silent_before_tls(target: Target) -> None:
    await _silent(target, 500)


@attack(
    "connections that never begin a TLS handshake, with workers",
    "TLS handshakes that do not go on",
    fronts=("tls",),
    sessions=8,
    options={"server.max_connections": 100},
    args=("--workers", "2"),
    newcomers=False,
    short=False,
)
async def silent_before_tls_of_workers(target: Target) -> None:
    await _silent(target, 500)


@attack(
    "TLS handshakes that stop in the middle",
    "TLS handshakes that do not go on",
    fronts=("tls",),
    sessions=8,
    options={"server.max_connections": 100},
    newcomers=False,
)
async def half_a_tls_handshake(target: Target) -> None:
    await _silent(target, 300, HELLO)


@attack("a port of TLS that is sent other bytes", "TLS that is none", fronts=("tls",), sessions=8)
async def no_tls(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp(tls=False)
        await peer.push(
            (HANDSHAKE, b"\x16\x03\x01\xff\xff" + b"\xff" * 300, b"\x80" * 50)[number % 3]
        )
        await _is_dropped(peer)
        peer.close()

    while target.time_is_left:
        await target.each(100, one)


@attack(
    "TLS handshakes without end",
    "handshakes without end",
    fronts=("tls",),
    sessions=4,
)
async def tls_handshakes(target: Target) -> None:
    async def one(number: int) -> None:
        (await target.tcp()).close()

    while target.time_is_left:
        await target.each(20, one, at_once=4)


@attack(
    "connections that say nothing",
    "connections that send nothing",
    fronts=("http1", "workers"),
    sessions=8,
    options={"server.max_connections": 100},
    newcomers=False,
)
async def silent_connections(target: Target) -> None:
    await _silent(target, 1000)


@attack(
    "sessions beyond max_connections",
    "connections without end",
    fronts=("http1", "http2", "tls", "workers"),
    sessions=8,
    options={"server.max_connections": 100},
    newcomers=False,
)
async def too_many_sessions(target: Target) -> None:
    async def one(number: int) -> None:
        await target.websocket("/silent")

    found = await target.each(500, one)
    opened = sum(one is None for one in found)
    # Each of two workers has 100 places. Over HTTP/2, a connection takes one, and its stream; those
    # that are refused have one until they are gone.
    least = 25 if target.front == "http2" else 80
    assert least <= opened <= 200, f"{opened} sessions were opened"
    answers = {str(one) for one in found if isinstance(one, ConnectionRefusedError)}
    assert answers == {"HTTP/1.1 503 Service Unavailable"} or answers == {"HTTP/1.1 503"}, answers
    await target.rest()


@attack(
    "1,000 connections where 256 descriptors are",
    "file descriptors that run out",
    fronts=("http1", "tls"),
    sessions=8,
    descriptors=256,
    newcomers=False,
    seconds=4,
)
async def descriptors_run_out(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp(tls=False)
        await _is_dropped(peer)

    await target.each(1000, one, at_once=1000)


@attack(
    "1,000 sessions where 256 descriptors are",
    "file descriptors that run out",
    fronts=("http1", "tls", "workers"),
    sessions=200,
    descriptors=256,
    newcomers=False,
    seconds=4,
)
async def sessions_take_all_descriptors(target: Target) -> None:
    opened: list[object] = []

    async def one(number: int) -> None:
        opened.append(await target.websocket("/silent"))

    opening = target.start(target.each(1000, one, at_once=1000))
    await target.rest()
    with suppress(TimeoutError):
        await asyncio.wait_for(opening, 5)
    assert len(opened) >= 100, f"only {len(opened)} sessions were opened"


@attack(
    "connections that are reset at once",
    "a connection that was reset",
    fronts=EVERYWHERE,
    sessions=8,
)
async def reset_at_once(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp(tls=False)
        peer.send(HANDSHAKE[: number % 200])
        peer.close()

    while target.time_is_left:
        await target.each(200, one, at_once=20)


@attack(
    "sessions that are opened and reset",
    "handshakes without end",
    fronts=("http1", "http2", "tls", "workers", "uvicorn", "trio"),
    sessions=8,
)
async def opened_and_reset(target: Target) -> None:
    async def one(number: int) -> None:
        (await target.websocket()).close()

    while target.time_is_left:
        await target.each(50, one, at_once=5)


FROM = "X-Forwarded-For: {}\r\n"
PROXY = {
    "server.trusted_proxies": "127.0.0.1",
    "server.handshake_rate": 5,
    "server.max_connections_per_address": 20,
}


@attack(
    "handshakes without end from one address",
    "handshakes without end",
    fronts=("http1", "workers"),
    sessions=8,
    options=PROXY,
)
async def handshakes_of_one_address(target: Target) -> None:
    request = REQUEST.format(path="/", more=FROM.format("192.0.2.7")).encode()

    async def one(number: int) -> bytes:
        peer = await target.tcp()
        try:
            await peer.push(request)
            return (await peer.reader.readline()).split()[1]
        finally:
            peer.close()

    statuses = set()
    while target.time_is_left:
        found = await target.each(300, one, at_once=5)
        statuses |= {status for status in found if isinstance(status, bytes)}
    assert statuses <= {b"101", b"429"}, statuses
    assert b"429" in statuses, statuses


@attack(
    "handshakes from ever new addresses",
    "handshakes without end",
    fronts=("http1",),
    sessions=8,
    options=PROXY,
)
async def ever_new_addresses(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp()
        address = f"2001:db8:{number // 65536:x}:{number % 65536:x}::1"
        await peer.push(REQUEST.format(path="/", more=FROM.format(address)).encode())
        await peer.reader.readline()
        peer.close()

    start = 0
    while target.time_is_left:
        await target.each(100, lambda number: one(start + number), at_once=5)  # noqa: B023
        start += 100


@attack(
    "sessions of one address beyond its share",
    "… from one address",
    fronts=("http1",),
    sessions=20,
    options=PROXY,
)
async def sessions_of_one_address(target: Target) -> None:
    async def one(number: int) -> None:
        await target.websocket("/silent", FROM.format("192.0.2.8"))

    found = await target.each(40, one)
    opened = sum(answer is None for answer in found)
    assert opened == 20, f"{opened} sessions of one address"
    assert any("429" in str(answer) for answer in found), found[-1]
    await target.rest()


@attack(
    "forged X-Forwarded-For",
    "forged `X-Forwarded-For`",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
)
async def forged_address(target: Target) -> None:
    async def one(number: int) -> None:
        # uvicorn trusts a proxy on this machine, so the last one is where it says it comes from.
        last = ("not an address", "'; --", f"::ffff:1.2.3.{number}")[number % 3]
        forged = "192.0.2.9, " * 200 + last
        (await target.websocket("/silent", FROM.format(forged))).close()

    while target.time_is_left:
        found = await target.each(50, one, at_once=5)
        refused = [answer for answer in found if isinstance(answer, ConnectionRefusedError)]
        assert not refused, refused[0]
