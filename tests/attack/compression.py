"""Attacks with compressed messages."""

from __future__ import annotations

import zstandard

from tests.attack.registry import attack
from tests.attack.target import DROPPED, Target
from tests.codecs import deflated
from tests.raw import masked

KIB, MIB = 1 << 10, 1 << 20

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
ZSTD = "Sec-WebSocket-Extensions: permessage-zstd; client_no_context_takeover\r\n"
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
    "an asynchronous codec": (ASYNC, masked(2, deflated(INFLATED))),
}


def inflating(name: str, fronts: tuple[str, ...], sessions: int) -> None:
    offer, message = SMALL[name]
    data = message * (64 * KIB // len(message) + 1)

    @attack(
        f"small messages of {name} that inflate to 512 KiB, {sessions} sessions",
        "many small messages that inflate",
        fronts=fronts,
        sessions=sessions,
    )
    async def run(target: Target) -> None:
        await target.flood(data, sessions=sessions, path="/silent", more=offer)


for one in SMALL:
    own = one == "an asynchronous codec"  # uvicorn's front has installed extensions only
    inflating(one, ("http1", "http2", "tls", "workers") + ("uvicorn",) * (not own), 1)
    inflating(one, ("http1", "http2"), 40)

BOMB = masked(1, deflated(bytes(50 * MIB)), rsv=0x40)


@attack(
    "a message of 50 KB that would inflate to 50 MiB",
    "a compression bomb",
    fronts=("http1", "http2", "tls", "workers", "uvicorn"),
    sessions=8,
)
async def bomb(target: Target) -> None:
    async def one(number: int) -> int | None:
        peer = await target.websocket(more=DEFLATE)
        await peer.push(BOMB)
        try:
            return await peer.close_code()
        finally:
            peer.close()

    while target.time_is_left:
        codes = await target.each(8, one, at_once=8)
        assert all(code == 1009 or isinstance(code, DROPPED) for code in codes), codes
