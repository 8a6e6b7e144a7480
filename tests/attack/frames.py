"""Attacks with frames and messages."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target, WebSocket
from tests.raw import KEY, masked

KIB, MIB = 1 << 10, 1 << 20
ALL = ("http1", "http2", "tls", "workers", "uvicorn", "trio")


def flooding(
    name: str,
    promise: str,
    data: bytes,
    *,
    fronts: tuple[str, ...] = ALL,
    sessions: int = 1,
    path: str = "/",
    codes: set[int | None] | None = None,
    again: bool = True,
    **how: object,
) -> None:
    """An attack that sends the same for ever; ``codes`` are those that it may get."""

    @attack(name, promise, fronts=fronts, sessions=sessions, **how)  # type: ignore[arg-type]
    async def run(target: Target) -> None:
        found = await target.flood(data, sessions=sessions, path=path, again=again)
        wrong = set(found) - (codes or set())
        assert not wrong, f"closed with {wrong}"


# --- floods -------------------------------------------------------------------------------------

SMALL = masked(2, b"x") * 20_000
flooding("one-byte messages to an echo", "a flood of messages", SMALL)
flooding("one-byte messages of 8 sessions to an echo", "a flood of messages", SMALL, sessions=8)
flooding("empty messages to an echo", "a flood of messages", masked(2) * 20_000)
flooding(
    "one-byte messages that nobody takes",
    "messages faster than the app takes them",
    SMALL,
    path="/silent",
    sessions=8,
)
flooding(
    "one-byte messages to a slow application",
    "messages faster than the app takes them",
    SMALL,
    path="/slow",
    sessions=8,
    fronts=("http1", "http2"),
)
flooding(
    "messages of 1 MiB that nobody takes",
    "messages faster than the app takes them",
    masked(2, bytes(MIB)),
    path="/silent",
    sessions=8,
)
flooding(
    "texts of 1 MiB with an emoji that nobody takes",
    "messages faster than the app takes them",
    masked(1, b"x" * (MIB - 4) + "\U0001f600".encode()),
    path="/silent",
    sessions=4,
    fronts=("http1", "http2", "uvicorn", "trio"),
)
flooding(
    "messages of 1 MiB to an echo",
    "one connection that keeps the process busy, or many of them",
    masked(2, bytes(MIB)),
    sessions=4,
)
flooding(
    "texts of 1 MiB to an echo",
    "one connection that keeps the process busy, or many of them",
    masked(1, "grüße".encode() * (MIB // 8)),
    sessions=4,
    fronts=("http1", "http2", "uvicorn", "trio"),
)
flooding(
    "a message in empty fragments",
    "a message in a million fragments",
    masked(2, b"x", False) + masked(0, b"", False) * 20_000,
    codes={1009, 1008, 1002},
    sessions=2,
)
flooding(
    "one-byte fragments",
    "a message in a million fragments",
    (masked(2, b"x", False) + masked(0, b"x", False) * 20_000 + masked(0, b"x")),
    codes={1009, 1008},
    sessions=2,
)
flooding(
    "messages of three fragments each",
    "a flood of messages",
    (masked(2, b"x", False) + masked(0, b"x", False) + masked(0, b"x")) * 7000,
    codes={1008},
    sessions=2,
)
flooding(
    "fragments to an application that reads them as they come",
    "a message in a million fragments",
    (masked(2, b"x", False) + masked(0, b"x", False) * 20_000 + masked(0, b"x")),
    path="/chunks",
    codes={1008, 1009},
    sessions=2,
    fronts=("http1", "http2"),
)
flooding("pings", "a flood of pings", masked(9, b"p" * 125) * 500, codes={1008}, sessions=8)
flooding("empty pings", "a flood of pings", masked(9) * 10_000, codes={1008}, sessions=8)
flooding(
    "pongs that nobody asked for", "a flood of pongs", masked(10) * 20_000, codes={1008}, sessions=8
)
flooding(
    "pongs of 125 bytes",
    "a flood of pongs",
    masked(10, b"p" * 125) * 2000,
    codes={1008},
    sessions=8,
    fronts=("http1", "http2", "uvicorn", "trio"),
)
flooding(
    "pings between fragments",
    "a flood of pings",
    masked(2, b"x", False) + (masked(9) + masked(0, b"x", False)) * 5000 + masked(0),
    codes={1008},
    sessions=4,
    fronts=("http1", "http2", "uvicorn", "trio"),
)

# --- what breaks a rule ---------------------------------------------------------------------------

WRONG = {
    "UTF-8": (masked(1, b"\xff\xfe"), 1007),
    "UTF-8 cut in fragments": (masked(1, b"\xe2\x82", False) + masked(0, b"x"), 1007),
    "opcode": (masked(3, b"x"), 1002),
    "reserved bit": (masked(1, b"x", rsv=0x20), 1002),
    "continuation of nothing": (masked(0, b"x"), 1002),
    "message inside of a message": (masked(1, b"x", False) + masked(1, b"x"), 1002),
    "no mask": (b"\x81\x05hello", 1002),
    "length of 2^63": (b"\x82\xff" + b"\xff" * 8 + KEY, 1002),
    "length of 2^40": (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + KEY, 1009),
    "length that is not the shortest": (b"\x82\xfe\x00\x01" + KEY + b"x", 1002),
    "message of 1 MiB and a byte": (masked(2, bytes(MIB + 1))[:20], 1009),
    "fragments of more than 1 MiB": (masked(2, bytes(MIB), False) + masked(0, b"x"), 1009),
    "close code": (masked(8, b"\x03\xee"), 1002),
    "close of one byte": (masked(8, b"\x03"), 1002),
    "close reason that is not UTF-8": (masked(8, b"\x03\xe8\xff"), 1007),
    "ping of 126 bytes": (masked(9, b"x" * 126), 1002),
    "ping in fragments": (masked(9, b"x", False), 1002),
}


@attack(
    "frames that break RFC 6455",
    "frames that break RFC 6455",
    fronts=ALL,
    sessions=8,
)
async def wrong_frames(target: Target) -> None:
    names = list(WRONG)

    async def one(number: int) -> tuple[str, int | None]:
        name = names[number % len(names)]
        peer = await target.websocket()
        with suppress(*DROPPED):
            await peer.push(WRONG[name][0])
        code = await peer.close_code()
        peer.close()
        return name, code

    while target.time_is_left:
        for found in await target.each(len(names), one, at_once=6):
            if isinstance(found, tuple):
                name, code = found
                assert code in (WRONG[name][1], None), f"{name}: {code}"


@attack(
    "messages that are too large",
    "a frame or message that is too large",
    fronts=ALL,
    sessions=8,
)
async def too_large(target: Target) -> None:
    found = await target.flood(masked(2, bytes(3 * MIB)), sessions=8)
    assert set(found) <= {1009, None}, set(found)


@attack(
    "headers of 1 MiB frames that never come",
    "a frame header that announces a large payload",
    fronts=ALL,
    sessions=8,
)
async def announced(target: Target) -> None:
    header = b"\x82\xff" + MIB.to_bytes(8, "big") + KEY + b"x"

    async def one(number: int) -> None:
        await (await target.websocket()).push(header)

    await target.each(200, one)
    await target.rest()


@attack(
    "messages that stop a byte before their end",
    "a frame header that announces a large payload",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
)
async def almost_complete(target: Target) -> None:
    data = masked(2, bytes(MIB - 2), False) + masked(0, bytes(MIB))[:-1]

    async def one(number: int) -> None:
        with suppress(*DROPPED):
            await (await target.websocket()).push(data[: MIB - 10])

    await target.each(8, one)
    await target.rest()


@attack("frames sent byte by byte", "a frame that comes byte by byte", fronts=ALL, sessions=8)
async def byte_by_byte(target: Target) -> None:
    frame = masked(2, bytes(60_000))

    async def one(number: int) -> None:
        peer = await target.websocket()
        for at in range(len(frame)):
            if not target.time_is_left:
                return
            await peer.push(frame[at : at + 1])
            await asyncio.sleep(0.01)

    await target.each(50, one)


# --- peers that do not read, answer or close -----------------------------------------------------


async def _without_reading(target: Target, path: str, count: int) -> list[WebSocket]:
    async def one(number: int) -> WebSocket:
        peer = await target.websocket(path)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return peer

    return [peer for peer in await target.each(count, one) if not isinstance(peer, DROPPED)]


@attack(
    "peers that never read",
    "a peer that never reads",
    fronts=("http1", "tls", "workers", "uvicorn", "trio"),
    sessions=50,
    seconds=5,
)
async def never_reads(target: Target) -> None:
    await _without_reading(target, "/flood", 50)
    await target.rest()


@attack(
    "peers that send to an echo and never read",
    "a peer that never reads",
    fronts=("http1", "http2", "tls", "workers", "uvicorn", "trio"),
    sessions=20,
    seconds=4,
)
async def never_reads_its_echo(target: Target) -> None:
    data = masked(2, bytes(60_000)) * 4

    for peer in await _without_reading(target, "/", 20):
        target.start(_pushes(target, peer, data))
    await target.rest()


@attack(
    "peers that read all that is sent for ever",
    "one connection that keeps the process busy, or many of them",
    fronts=ALL,
    sessions=4,
)
async def reads_all(target: Target) -> None:
    for peer in await target.each(4, lambda number: target.websocket("/flood")):
        if not isinstance(peer, DROPPED):
            target.start(peer.discard())
    await target.rest()


@attack(
    "one-byte messages whose echoes are never read",
    "many tiny or empty messages that wait for a slow peer",
    fronts=("http1", "http2", "tls", "uvicorn", "trio"),
    sessions=8,
)
async def unread_tiny_echoes(target: Target) -> None:
    for peer in await _without_reading(target, "/", 8):
        target.start(_pushes(target, peer, SMALL))
    await target.rest()


async def _pushes(target: Target, peer: WebSocket, data: bytes) -> None:
    """Send the same until the time is over or the connection is."""
    with suppress(*DROPPED):
        while target.time_is_left:
            await peer.push(data)


@attack(
    "pings whose pongs are never read",
    "a flood of pings",
    fronts=("http1", "http2", "tls", "uvicorn", "trio"),
    sessions=8,
)
async def unread_pongs(target: Target) -> None:
    data = masked(9, b"p" * 125) * 500

    for peer in await _without_reading(target, "/", 8):
        target.start(_pushes(target, peer, data))
    await target.rest()


@attack(
    "peers that read a few bytes a second",
    "a peer that never reads",
    fronts=("http1", "uvicorn", "trio"),
    sessions=20,
    seconds=4,
)
async def reads_a_little(target: Target) -> None:
    async def one(peer: WebSocket) -> None:
        transport = peer.writer.transport
        while target.time_is_left:
            transport.resume_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.3)

    await asyncio.gather(*(one(peer) for peer in await _without_reading(target, "/flood", 20)))


@attack(
    "peers that answer no ping",
    "a peer that has gone silently",
    fronts=("http1", "http2", "tls", "workers", "uvicorn", "trio"),
    sessions=50,
    options={
        "websocket.ping_interval": 1,
        "websocket.ping_timeout": 0.5,
    },
    seconds=5,
)
async def answers_no_ping(target: Target) -> None:
    async def one(number: int) -> WebSocket:
        return await target.websocket()

    peers = await target.each(50, one)
    await target.rest()
    for peer in peers:
        if not isinstance(peer, DROPPED) and target.seconds >= 4:
            code = await asyncio.wait_for(peer.close_code(), 2)
            assert code == 1011, code


@attack(
    "peers that do not finish closing",
    "a peer that does not finish closing",
    fronts=("http1", "http2", "tls", "workers"),
    sessions=50,
    short=False,  # with TLS it takes 69 to 76 MiB, of which 48 MiB stay
)
async def does_not_close(target: Target) -> None:
    data = masked(2, bytes(60_000)) * 4

    async def one(number: int) -> None:
        peer = await target.websocket("/bye")
        with suppress(*DROPPED):
            while True:
                await peer.push(data)

    async with asyncio.timeout(target.seconds + 5):  # they have to be dropped
        await target.each(50, one)


@attack(
    "frames behind a Close frame",
    "a peer that does not finish closing",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
)
async def after_the_close(target: Target) -> None:
    found = await target.flood(masked(8, b"\x03\xe8") + masked(2, bytes(60_000)) * 8, sessions=8)
    assert set(found) <= {1000, None}, set(found)


@attack(
    "resets in the middle of everything",
    "a connection that was reset",
    fronts=ALL,
    sessions=8,
)
async def resets(target: Target) -> None:
    data = masked(2, bytes(60_000))

    async def one(number: int) -> None:
        peer = await target.websocket(("/", "/silent", "/flood")[number % 3])
        await peer.push(data * (number % 5) + data[: number * 37 % 5000])
        peer.close()

    while target.time_is_left:
        await target.each(50, one, at_once=5)


@attack(
    "sessions that are reset while nothing is read of them",
    "a connection that was reset",
    fronts=("http1", "tls", "workers"),
    sessions=8,
)
async def reset_while_full(target: Target) -> None:
    data = masked(2, bytes(500_000)) * 4

    async def one(number: int) -> None:
        peer = await target.websocket("/silent")
        peer.send(data)
        await asyncio.sleep(0.2)
        peer.close()

    while target.time_is_left:
        await target.each(8, one)
