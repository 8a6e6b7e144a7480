"""Codecs: whole messages from fragments, marks set and cleared, defaults that do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from wsext import RSV, Codec, Frame, MessageCodec
from wsext.protocol.codes import Opcode


class Upper(MessageCodec):
    rsv = RSV.RSV2

    def encode_message(self, data: bytes) -> bytes | None:
        return data.upper() if data else None

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return data.lower()


class Later(Upper):
    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        return data.upper()

    async def decode_message(self, data: bytes, budget: int) -> bytes:  # type: ignore[override]
        return data.lower()


FIRST = Frame(Opcode.TEXT, b"ab", fin=False)
LAST = Frame(Opcode.CONTINUATION, b"c")


def test_fragments_become_one_marked_message_and_back() -> None:
    codec: Any = Upper()
    assert codec.encode(FIRST) == ()
    whole = codec.encode(LAST)
    assert (whole.payload, whole.fin, whole.rsv, whole.opcode) == (b"ABC", True, RSV.RSV2, 1)
    assert codec.decode(FIRST.replace(rsv=RSV.RSV2), 100) == ()
    back = codec.decode(LAST, 100)
    assert (back.payload, back.rsv) == (b"abc", 0)


def test_what_is_not_marked_passes_as_it_is() -> None:
    codec: Any = Upper()
    assert codec.decode(FIRST, 100) is FIRST
    assert codec.decode(LAST, 100) is LAST
    ping = Frame(Opcode.PING, b"x")
    assert codec.encode(ping) is ping
    assert codec.decode(ping, 100) is ping
    assert not codec.encode(Frame(Opcode.TEXT, b"")).rsv  # ``None``: sent unmarked


async def test_it_may_be_asynchronous() -> None:
    codec: Any = Later()
    whole = await codec.encode(Frame(Opcode.TEXT, b"ab"))
    assert (whole.payload, whole.rsv) == (b"AB", RSV.RSV2)
    assert (await codec.decode(whole, 100)).payload == b"ab"


@pytest.mark.parametrize("name", ["encode", "encode_shared", "skip_shared", "decode", "wants"])
def test_the_core_can_tell_what_does_nothing(name: str) -> None:
    assert hasattr(getattr(Codec, name), "default")
    assert getattr(Codec(), "share_key") is None  # noqa: B009  # by name, as the rest
