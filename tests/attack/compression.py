"""Attacks with compressed messages."""

from __future__ import annotations

import asyncio

import brotli
import zstandard

from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target
from tests.codecs import deflated
from tests.raw import masked

KIB, MIB = 1 << 10, 1 << 20

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
ZSTD = "Sec-WebSocket-Extensions: permessage-zstd; client_no_context_takeover\r\n"
BROTLI = "Sec-WebSocket-Extensions: permessage-brotli; client_no_context_takeover\r\n"
ASYNC = "Sec-WebSocket-Extensions: x-async-inflate\r\n"


def zstd(data: bytes) -> bytes:
    """A message as permessage-zstd sends it without context takeover."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, window_log=17, write_content_size=0
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


INFLATED = bytes(512 * KIB)
SMALL = {
    "permessage-deflate": (DEFLATE, masked(2, deflated(INFLATED), rsv=0x40)),
    "permessage-zstd": (ZSTD, masked(2, zstd(INFLATED), rsv=0x40)),
    "permessage-brotli": (
        BROTLI,
        masked(2, brotli.compress(INFLATED, quality=4, lgwin=16), rsv=0x40),
    ),
    "an asynchronous codec": (ASYNC, masked(2, deflated(INFLATED))),
}


def inflating(name: str, fronts: tuple[str, ...], sessions: int, how: str = "") -> None:
    offer, message = SMALL[name]
    data = message * (64 * KIB // len(message) + 1)

    @attack(
        f"small messages of {name}{how} that inflate to 512 KiB, {sessions} sessions",
        "many small messages that inflate" if sessions == 1 else "… in many sessions at once",
        fronts=fronts,
        sessions=sessions,
        options={"extensions.permessage-deflate.offload_above": 0} if how else {},
    )
    async def run(target: Target) -> None:
        await target.flood(data, sessions=sessions, path="/silent", more=offer)


for one in SMALL:
    own = one == "an asynchronous codec"  # uvicorn's front has installed extensions only
    inflating(one, ("http1", "http2", "tls", "workers") + ("uvicorn", "trio") * (not own), 1)
    inflating(one, ("http1", "http2"), 40)
for count in (1, 40):
    inflating("permessage-deflate", ("http1", "workers"), count, " in threads")

LARGE = bytes(50 * MIB)
BOMBS = {
    "permessage-deflate": (DEFLATE, masked(1, deflated(LARGE), rsv=0x40)),
    "permessage-zstd": (ZSTD, masked(1, zstd(LARGE), rsv=0x40)),
    "permessage-brotli": (BROTLI, masked(1, brotli.compress(LARGE, quality=4, lgwin=16), rsv=0x40)),
}


def bomb(name: str, fronts: tuple[str, ...]) -> None:
    offer, message = BOMBS[name]

    @attack(
        f"a message of {name} that would inflate to 50 MiB",
        "a compression bomb",
        fronts=fronts,
        sessions=8,
    )
    async def run(target: Target) -> None:
        async def one(number: int) -> int | None:
            peer = await target.websocket(more=offer)
            await peer.push(message)
            try:
                return await peer.close_code()
            finally:
                peer.close()

        while target.time_is_left:
            codes = await target.each(8, one, at_once=8)
            assert all(code == 1009 or isinstance(code, DROPPED) for code in codes), codes


for one in BOMBS:
    more = ("http2", "tls", "workers", "uvicorn", "trio") if one == "permessage-deflate" else ()
    bomb(one, ("http1", *more))


def compressed(name: str, promise: str, offer: str, data: bytes, codes: set[int | None]) -> None:
    """A flood of compressed frames; ``codes`` are those that it may get."""

    @attack(name, promise, fronts=("http1", "http2", "uvicorn", "trio"), sessions=4)
    async def run(target: Target) -> None:
        found = await target.flood(data, sessions=4, more=offer)
        wrong = set(found) - codes - {None}
        assert not wrong, f"closed with {wrong}"


compressed(
    "compressed messages of 1 MiB to an echo",
    "one connection that keeps the process busy, or many of them",
    DEFLATE,
    masked(2, deflated(bytes(MIB)), rsv=0x40) * 50,
    set(),
)
compressed(
    "compressed messages of one byte",
    "a flood of messages",
    DEFLATE,
    masked(2, deflated(b"x"), rsv=0x40) * 5000,
    set(),
)
compressed(
    "compressed messages in empty fragments",
    "a message in a million fragments",
    DEFLATE,
    masked(2, deflated(b"x"), False, 0x40) + masked(0, b"", False) * 20_000,
    {1002, 1007, 1008, 1009},
)
compressed(
    "compressed messages of empty blocks",
    "many small messages that inflate",
    DEFLATE,
    masked(2, b"\x00\x00\x00\xff\xff" * 20_000, rsv=0x40),
    {1007, 1008, 1009},
)
compressed(
    "compressed messages of final blocks",
    "many small messages that inflate",
    DEFLATE,
    masked(2, b"\x01\x00\x00\xff\xff" * 20_000, rsv=0x40),
    {1007, 1008, 1009},
)
compressed(
    "corrupted compression",
    "corrupted compression, bad UTF-8",
    DEFLATE,
    masked(1, b"\xff" + deflated(b"a message" * 100)[1:], rsv=0x40),
    {1007},
)
compressed(
    "compressed text that is not UTF-8",
    "corrupted compression, bad UTF-8",
    DEFLATE,
    masked(1, deflated(b"\xff" * 1000), rsv=0x40),
    {1007},
)
compressed(
    "zstd frames with bytes behind them",
    "data behind the end of a compressed message (permessage-zstd, permessage-brotli)",
    ZSTD,
    masked(2, zstd(b"a message" * 100) + b"and more", rsv=0x40),
    {1007},
)
compressed(
    "zstd frames with a window of 2 GiB",
    "a compression bomb",
    ZSTD,
    masked(2, b"\x00\xa8" + b"\x02\x00\x00x" * 20, rsv=0x40),
    {1007, 1009},
)


@attack(
    "hundreds of sessions that have compressed once",
    "many sessions with compression",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
    short=False,  # 38 to 46 MiB stay the first time; no more are added by the next times
)
async def many_contexts(target: Target) -> None:
    message = masked(2, deflated(bytes(range(256)) * 400), rsv=0x40)

    async def one(number: int) -> None:
        peer = await target.websocket(more=DEFLATE)
        await peer.push(message)
        await peer.frame()

    await target.each(200, one)
    await target.rest()


@attack(
    "peers that leave while an extension encodes for ever",
    "an extension that does not come to an end",
    fronts=("http1", "tls"),
    sessions=8,
    options={"server.max_connections": 100},
)
async def hung_encoders(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.websocket(more="Sec-WebSocket-Extensions: x-hung\r\n")
        await peer.push(masked(2, b"hello"))
        peer.close()

    while target.time_is_left:
        await target.each(8, one)
        await asyncio.sleep(0.3)  # a few of them at a time
