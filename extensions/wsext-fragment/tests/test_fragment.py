"""permessage-fragment: the kit, sizes, negotiation."""

from __future__ import annotations

import pytest
from wsext_fragment import FragmentCodec, PermessageFragment

from wsext import Frame, NegotiationContext, NegotiationError, Params, testing


class TestFragment(testing.ExtensionSuite):
    extension = PermessageFragment
    options = {"max_frame": 100}  # noqa: RUF012
    variants = ({}, {"max_frame": 7}, {"max_frame": 1 << 24})


async def test_no_frame_is_larger_also_of_compressed_messages() -> None:
    stack = ["permessage-deflate", PermessageFragment(max_frame=10)]
    async with testing.pair(stack) as (client, server):
        await client.send(bytes(range(256)) * 4)
        assert await server.receive() == bytes(range(256)) * 4
        frames = client.transcript.frames("client")
        assert max(len(frame.payload) for frame in frames) == 10
        assert [frame.opcode for frame in frames] == [2] + [0] * (len(frames) - 1)
        assert [bool(frame.rsv) for frame in frames] == [True] + [False] * (len(frames) - 1)


async def test_the_smaller_size_counts() -> None:
    ours, theirs = PermessageFragment(max_frame=50), PermessageFragment(max_frame=20)
    async with testing.pair([theirs], client=[ours]) as (client, server):
        assert client.negotiation.header == "permessage-fragment; max_frame=20"
        await server.send("x" * 50)
        await client.receive()
        sizes = [len(frame.payload) for frame in client.transcript.frames("server")]
        assert sizes == [20, 20, 10]


def test_a_peer_that_wants_tiny_frames_gets_no_million_of_them() -> None:
    message = bytes(range(256)) * 4096
    frames = FragmentCodec(1).encode(Frame(2, message))
    assert isinstance(frames, list)
    assert len(frames) <= 16384
    assert b"".join(frame.payload for frame in frames) == message
    assert [frame.fin for frame in frames[-2:]] == [False, True]


def test_an_empty_continuation_is_left_out() -> None:
    codec = FragmentCodec(5)
    assert codec.encode(Frame(0, b"", False)) == ()
    last = Frame(0, b"", True)
    assert codec.encode(last) is last


def test_an_answer_that_is_larger_than_asked_is_refused() -> None:
    extension = PermessageFragment(max_frame=100)
    with pytest.raises(NegotiationError):
        extension.confirm(
            extension.offers(), Params(max_frame=200), NegotiationContext("client", 1)
        )
