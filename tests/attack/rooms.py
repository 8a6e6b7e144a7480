"""Attacks on rooms, and through the broker that joins those of several processes."""

from __future__ import annotations

import asyncio
import base64
import itertools
from contextlib import suppress

from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target, WebSocket
from tests.raw import masked

MIB = 1 << 20
BROKERS = ("memory", "redis", "nats")


@attack(
    "a megabyte into each of a thousand rooms",
    "messages in rooms that nobody is in",
    fronts=BROKERS,
    sessions=8,  # of which the process's own bounds are a part
)
async def a_thousand_rooms(target: Target) -> None:
    peer = await target.websocket("/rooms")
    target.start(peer.discard())
    text = "x" * (MIB - 2000)  # less than a NATS server takes
    frames = [masked(1, f"room{number}\n{text}".encode()) for number in range(8)]
    for number in itertools.count():
        if not target.time_is_left or number == 1000:
            break
        if number % 8 == 0 and number:
            frames = [masked(1, f"room{number + at}\n{text}".encode()) for at in range(8)]
        await peer.push(frames[number % 8])
    await target.rest()


@attack(
    "ever new rooms",
    "messages in rooms that nobody is in",
    fronts=BROKERS,
    sessions=8,  # of which the process's own bounds are a part
)
async def ever_new_rooms(target: Target) -> None:
    peer = await target.websocket("/rooms")
    target.start(peer.discard())
    with suppress(TimeoutError):  # the server reads no faster than it opens rooms
        async with asyncio.timeout(target.seconds):
            for start in itertools.count(0, 100):
                rooms = (f"new{start + at}\nhello".encode() for at in range(100))
                await peer.push(b"".join(masked(1, room) for room in rooms))


@attack(
    "sessions that come to ever new rooms",
    "messages in rooms that nobody is in",
    fronts=BROKERS,
    sessions=8,
)
async def comes_and_goes(target: Target) -> None:
    count = itertools.count()

    async def one(number: int) -> None:
        peer = await target.websocket(f"/room/visit{next(count)}")
        await peer.push(masked(1, b"hello"))
        await peer.frame()
        peer.close()

    while target.time_is_left:
        await target.each(50, one, at_once=5)


async def _members(target: Target, count: int, room: str, more: str = "") -> list[WebSocket]:
    async def one(number: int) -> WebSocket:
        return await target.websocket(f"/room/{room}", more.format(number=number + 1))

    return [peer for peer in await target.each(count, one) if not isinstance(peer, DROPPED)]


@attack(
    "members who never read",
    "… in a room",
    fronts=("memory", "redis", "nats", "http2"),
    sessions=50,
)
async def members_who_never_read(target: Target) -> None:
    for peer in await _members(target, 50, "silent"):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    (speaker,) = await _members(target, 1, "silent")
    target.start(speaker.discard())
    data = masked(2, bytes(60_000))
    while target.time_is_left:
        await speaker.push(data)
        await asyncio.sleep(0.002)


@attack(
    "a flood of messages to a room of fifty",
    "a flood of messages",
    fronts=("memory", "redis", "nats"),
    sessions=50,
)
async def flooded_room(target: Target) -> None:
    members = await _members(target, 50, "flooded")
    for peer in members:
        target.start(peer.discard())
    data = masked(2, b"x" * 100) * 100
    with suppress(*DROPPED):
        while target.time_is_left:
            await members[0].push(data)


@attack(
    "members with a frame size of one byte",
    "an extension that makes one message into many frames",
    fronts=("http1", "uvicorn"),
    sessions=8,  # of which the process's own bounds are a part
)
async def one_byte_frames(target: Target) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-fragment; max_frame=1\r\n"
    try:
        peer = await target.websocket("/", offer)
    except ConnectionRefusedError:
        return
    target.start(peer.discard())
    await peer.push(masked(2, bytes(1000), False) + masked(0, bytes(MIB - 1000)))
    await target.rest()


@attack(
    "hundreds of members with a frame size of their own each",
    "other parameters on each of many connections, to have a message encoded for each",
    fronts=("memory",),
    sessions=200,
)
async def own_frame_sizes(target: Target) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-fragment; max_frame={number}00\r\n"
    members = await _members(target, 200, "sizes", offer)
    for peer in members:
        target.start(peer.discard())
    data = masked(2, bytes(100), False) + masked(0, bytes(100), False) * 200 + masked(0, bytes(100))
    while target.time_is_left:
        await members[0].push(data)
        await asyncio.sleep(0.1)


@attack(
    "one session in ever more rooms",
    "rooms without end for one session",
    fronts=BROKERS,
    sessions=4,
)
async def ever_more_rooms(target: Target) -> None:
    for _ in range(4):
        peer = await target.websocket("/stays")
        target.start(peer.discard())
        with suppress(TimeoutError, *DROPPED):
            async with asyncio.timeout(target.seconds / 4):
                for number in itertools.count():
                    await peer.push(masked(1, f"more{number}".encode()))
                    await asyncio.sleep(0)


@attack(
    "the same history again and again",
    "messages in rooms that nobody is in",
    fronts=BROKERS,
    sessions=2,
)
async def history_again(target: Target) -> None:
    peer = await target.websocket("/room/told")
    target.start(peer.discard())
    for _ in range(20):
        await peer.push(masked(2, bytes(12_000)))
    again = await target.websocket("/again")
    target.start(again.discard())
    with suppress(TimeoutError, *DROPPED):
        async with asyncio.timeout(target.seconds):
            while True:
                await again.push(masked(1, b"told"))


@attack(
    "names of rooms and members that are too long",
    "a room's name, or what a member tells about itself, without bound",
    fronts=BROKERS,
    sessions=10,
)
async def long_names(target: Target) -> None:
    async def one(number: int) -> None:
        path = ("/room/" + "x" * 256, "/room/" + "%F0%9F%A6%8A" * 64, "/named/" + "n" * 9000)
        peer = await target.websocket(path[number % 3])
        frame = await peer.frame()
        assert frame is not None
        assert frame.payload[:2] == b"\x03\xf0"  # 1008
        peer.close()

    while target.time_is_left:
        await target.each(30, one, at_once=10)


@attack(
    "a megabyte in each of a hundred open rooms",
    "messages in many open rooms",
    fronts=("memory",),
    sessions=100,
)
async def many_open_rooms(target: Target) -> None:
    data = masked(1, b"x" * (MIB - 2000))

    async def one(number: int) -> None:
        (peer,) = await _members(target, 1, f"open{number}")
        await peer.push(data)
        await peer.frame()

    await target.each(100, one, at_once=5)
    await target.rest()


@attack(
    "messages that are larger than the broker takes",
    "a message that is too large for the broker",
    fronts=("nats",),
    sessions=4,
)
async def too_large_for_the_broker(target: Target) -> None:
    data = masked(1, b"x" * MIB)

    async def one(number: int) -> int | None:
        (peer,) = await _members(target, 1, "large")
        await peer.push(data)
        try:
            return await peer.close_code()
        finally:
            peer.close()

    while target.time_is_left:
        found = await target.each(4, one)
        assert set(found) == {1009}, found


# --- the broker ---------------------------------------------------------------------------------


async def _redis(target: Target, *commands: tuple[bytes, ...]) -> None:
    """Say commands to the Redis server, as anybody who may write to it can."""
    assert target.server.broker is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", target.server.broker)
    for parts in commands:
        lines = [b"*%d" % len(parts)]
        for part in parts:
            lines += [b"$%d" % len(part), part]
        writer.write(b"\r\n".join(lines) + b"\r\n")
        await reader.readline()
    writer.close()


async def _nats(target: Target, *messages: tuple[str, bytes]) -> None:
    """Publish to subjects of the NATS server."""
    assert target.server.broker is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", target.server.broker)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
    for subject, data in messages:
        writer.write(f"PUB {subject} {len(data)}\r\n".encode() + data + b"\r\n")
    writer.write(b"PING\r\n")
    await reader.readline()
    writer.close()


GARBAGE = [
    b"",
    b"\xff" * 50,
    b"|",
    b"|\xff",
    b"1-1|",
    b"nonsense|x",
    b"\x93\x01\x02",
    b"{}",
    b"[1]" * 999,
]
ROOM = "attacked"


async def _pollute(target: Target) -> None:
    """Put what cannot be read wherever a server looks."""
    if target.front == "redis":
        room, name = ROOM.encode(), b"wsext:"
        commands: list[tuple[bytes, ...]] = [
            (b"PUBLISH", name + b"live:" + room, data) for data in GARBAGE
        ]
        commands += [(b"XADD", name + b"room:" + room, b"*", b"other", b"field")]
        commands += [
            (b"HSET", name + b"head:" + room, field, data)
            for field in (b"epoch", b"number", b"earlier", b"life")
            for data in (*GARBAGE, b"9" * 30)
        ]
        commands += [(b"XADD", name + b"room:" + room, b"*", b"d", data) for data in GARBAGE]
        commands += [
            (b"HSET", name + b"members:" + room, b"x%d" % number, data)
            for number, data in enumerate(GARBAGE)
        ]
        await _redis(target, *commands)
    else:
        token = base64.urlsafe_b64encode(ROOM.encode()).decode().rstrip("=")
        subjects = [f"wsext.room.{token}", f"wsext.note.{token}", f"$KV.wsext-members.{token}.x"]
        await _nats(target, *((subject, data) for subject in subjects for data in GARBAGE))


@attack(
    "garbage from the broker",
    "what cannot be read from a broker",
    fronts=("redis", "nats"),
    sessions=8,
    args=("--workers", "2"),
)
async def garbage_from_the_broker(target: Target) -> None:
    await _pollute(target)  # before the room is opened, and while it is open
    members = await _members(target, 6, ROOM)
    while target.time_is_left:
        await _pollute(target)
        await asyncio.sleep(0.2)
    members += await _members(target, 2, ROOM)
    others = await _members(target, 6, "another")
    await members[0].push(masked(1, b"still here"))
    await others[0].push(masked(1, b"still here"))
    async with asyncio.timeout(5):
        for peer in members + others:  # on both workers
            while (frame := await peer.frame()) is not None and frame.payload != b"still here":
                assert frame.opcode != 8, f"closed with {bytes(frame.payload[:2]).hex()}"
            assert frame is not None, "a member was thrown out"


@attack(
    "keys of another type, and a stream that is used up",
    "what cannot be read from a broker",
    fronts=("redis",),
    sessions=8,
)
async def other_keys(target: Target) -> None:
    last = b"18446744073709551615-18446744073709551615"
    await _redis(
        target,
        (b"SET", b"wsext:room:taken", b"x"),
        (b"SET", b"wsext:members:taken", b"x"),
        (b"XADD", b"wsext:room:used-up", last, b"d", b"x"),
    )
    members = [
        (await _members(target, 2, room))[0] for room in ("taken", "used-up", "used-up", "fine")
    ]
    while target.time_is_left:
        for peer in members:
            await peer.push(masked(1, b"still here"))
            frame = await peer.frame()
            assert frame is not None
            assert frame.payload == b"still here"
        await asyncio.sleep(0.05)


@attack(
    "members that come and go while the broker does not answer",
    "what waits for a broker that does not answer",
    fronts=("redis",),
    sessions=4,
    newcomers=True,
)
async def stalled_broker(target: Target) -> None:
    await _redis(target, (b"CLIENT", b"PAUSE", b"%d" % (1000 * target.seconds), b"ALL"))
    peers = [await target.websocket("/visits") for _ in range(4)]
    data = masked(1, b"in and out") * 100
    for peer in peers:
        target.start(peer.discard())
    with suppress(TimeoutError, *DROPPED):
        async with asyncio.timeout(target.seconds):
            while True:
                for peer in peers:
                    await peer.push(data)
