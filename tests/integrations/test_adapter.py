"""Codecs as extensions of `websockets`: limits, errors, what shows late, the end."""

from __future__ import annotations

import gc
import zlib
from contextlib import suppress

import pytest
from websockets.asyncio.server import serve as foreign_serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode

import wsext
from tests.extensions import codec_of
from tests.integrations.adapted import WORDS, connecting, echo, serving, url_of
from tests.raw import masked, raw_peer
from wsext import RSV, Codec, Frame, LocalProtocolError, MessageCodec
from wsext.integrations.websockets import server_extensions


async def test_what_shows_late_refuses_to_go_on() -> None:
    class Late(Codec):
        """Splits what is larger than anything that was rehearsed."""

        def encode(self, frame: Frame) -> Frame | list[Frame]:
            if len(frame.payload) < 100_000:
                return frame
            return [frame.replace(fin=False), Frame(0, b"", True)]

    late = codec_of(Late)
    async with serving(late) as server, connecting(url_of(server), late) as client:
        await client.send("fine")
        assert await client.recv() == "fine"
        for size in (100_000, 1):
            with pytest.raises(LocalProtocolError, match="x-odd: makes 2 frames of one frame"):
                await client.send("x" * size)
    assert (
        client.protocol.close_code == 1000
    )  # who sends can still close, and the peer gets a Close frame

    # Who drives the protocol without I/O gets the error itself, and nothing past it.
    _, extension = server_extensions([late])[0].process_request_params([], [])
    for size in (100_000, 1):
        with pytest.raises(LocalProtocolError, match="x-odd: makes 2 frames of one frame"):
            extension.encode(TheirFrame(Opcode.BINARY, b"x" * size))
    assert extension.encode(TheirFrame(Opcode.PING, b"x")).data == b"x"


async def test_a_fragmented_message_cannot_be_left_as_it_is() -> None:
    class Undecided(MessageCodec):
        def encode_message(self, data: bytes) -> bytes | None:
            packed = zlib.compress(data)
            return packed if len(packed) < len(data) else None

        def decode_message(self, data: bytes, budget: int) -> bytes:
            return zlib.decompress(data)

    undecided = codec_of(Undecided, bits=RSV.RSV3)
    async with serving(undecided) as server, connecting(url_of(server), undecided) as client:
        for message in ("x", WORDS):
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS[:9], WORDS[9:]])
        assert await client.recv() == WORDS
        with pytest.raises(LocalProtocolError, match="x-odd: leaves a message as it is"):
            await client.send(["a", "b"])
    _, extension = server_extensions([undecided])[0].process_request_params([], [])
    extension.encode(TheirFrame(Opcode.BINARY, b"a", False))
    with pytest.raises(LocalProtocolError, match="x-odd: leaves a message as it is"):
        extension.encode(TheirFrame(Opcode.CONT, b"b"))


@pytest.mark.parametrize("extension", ["permessage-zstd", "permessage-deflate"])
async def test_max_size_bounds_what_a_message_grows_to(extension: str) -> None:
    async with (
        serving(extension, max_size=100_000) as server,
        wsext.connect(url_of(server), extensions=[extension]) as session,
    ):
        await session.send(b"\x00" * 100_000)
        assert await session.receive() == b"\x00" * 100_000
        await session.send(b"\x00" * 100_001)
        await session.wait_closed()
        assert session.close_info.code == 1009


async def test_max_size_bounds_all_fragments_together() -> None:
    async with (
        serving("permessage-deflate", max_size=100_000) as server,
        connecting(url_of(server), "permessage-deflate") as client,
    ):
        # websockets compares the size of an encoded frame, too: its empty last one has a byte.
        await client.send([b"\x00" * 49_999] * 2)
        assert await client.recv() == b"\x00" * 99_998
        with suppress(ConnectionClosedError):  # it may be over while it still sends
            await client.send([b"\x00" * 50_000] * 2 + [b"\x00"])
        await client.wait_closed()
        assert client.protocol.close_code == 1009


CHECKSUM = "Sec-WebSocket-Extensions: permessage-checksum\r\n"


async def test_what_a_codec_holds_back_is_bounded() -> None:
    async with (
        serving("permessage-checksum", max_size=10_000) as server,
        raw_peer(server.sockets[0].getsockname()[1]) as peer,
    ):
        assert "permessage-checksum" in await peer.shake(more=CHECKSUM)
        # The checksum of a message that never ends is never checked.
        peer.send(masked(2, b"x" * 5_000, False, RSV.RSV2))
        for _ in range(3):
            peer.send(masked(0, b"x" * 5_000, False))
        assert await peer.close_code() == 1009


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(2, b"not a checksum", True, RSV.RSV2)], 1002),
        ([Frame(2, b"ab", False, RSV.RSV2), Frame(0, b"cd", True, RSV.RSV2)], 1002),
        ([Frame(2, b"x", True, RSV.RSV3)], 1002),
    ],
    ids=["corrupt", "bit on a continuation", "a bit of nobody"],
)
async def test_a_broken_rule_closes_with_its_code(frames: list[Frame], code: int) -> None:
    async with (
        serving("permessage-checksum") as server,
        raw_peer(server.sockets[0].getsockname()[1]) as peer,
    ):
        assert "permessage-checksum" in await peer.shake(more=CHECKSUM)
        peer.send(b"".join(masked(f.opcode, bytes(f.payload), f.fin, f.rsv) for f in frames))
        assert await peer.close_code() == code


async def test_a_codec_is_closed_when_websockets_lets_go_of_it() -> None:
    closed = []

    class Closing(Codec):
        def close(self) -> None:
            closed.append(self)

    closing = codec_of(Closing)
    factories = server_extensions([closing])
    rehearsed = len(closed)
    async with (
        foreign_serve(echo, "127.0.0.1", 0, extensions=factories, compression=None) as server,
        wsext.connect(url_of(server), extensions=[closing]) as session,
    ):
        await session.send("x")
        assert await session.receive() == "x"
    gc.collect()
    assert rehearsed == 2
    assert len(closed) == rehearsed + 2
    assert len(set(map(id, closed))) == len(closed)
