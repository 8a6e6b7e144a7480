"""permessage-checksum: the kit, corruption, and the stack with permessage-deflate."""

from __future__ import annotations

import random

import pytest
from wsext_checksum import ChecksumCodec, PermessageChecksum

from wsext import RSV, Frame, NegotiationContext, NegotiationError, Params, testing


class TestChecksum(testing.ExtensionSuite):
    extension = PermessageChecksum
    detects_corruption = True


def test_the_checksum_is_crc32c() -> None:
    """The test vector of RFC 3720 §B.4: 32 bytes of zeros."""
    assert ChecksumCodec().encode_message(bytes(32))[32:].hex() == "8a9136aa"


def test_another_algorithm_is_declined() -> None:
    ctx = NegotiationContext("server", 1 << 20)
    with pytest.raises(NegotiationError, match="md5"):
        PermessageChecksum().accept(Params(algorithm="md5"), ctx)


async def test_a_changed_message_is_1002() -> None:
    async with testing.pair([PermessageChecksum]) as (client, _):
        app = client.server.app
        async with testing.raw_peer(app, extensions="permessage-checksum") as peer:
            good = ChecksumCodec().encode_message(b"hello")
            peer.send_frame(Frame(1, b"J" + good[1:], True, RSV.RSV2))
            assert await peer.receive_close() == 1002


@pytest.mark.parametrize("first", ["permessage-deflate", "permessage-checksum"])
async def test_it_covers_what_deflate_made(first: str) -> None:
    stack = sorted(["permessage-deflate", "permessage-checksum"], key=lambda name: name != first)
    async with testing.pair(stack) as (client, server):
        assert client.negotiation.header == (
            "permessage-deflate; client_max_window_bits=12, permessage-checksum; algorithm=crc32c"
        )
        rng = random.Random(5)
        for size in (0, 1, 100, 5000, 100_000):
            data = rng.randbytes(size // 2) + bytes(size - size // 2)
            await client.send(data)
            assert await server.receive() == data
        first_frame = client.transcript.frames("client")[0]
        assert first_frame.rsv == RSV.RSV1 | RSV.RSV2
        payload = bytes(first_frame.payload)
        assert ChecksumCodec().decode_message(payload, 1 << 20) == payload[:-4]
