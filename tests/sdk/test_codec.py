"""Codecs: whole messages from fragments, marks set and cleared, defaults that do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from wsext import (
    RSV,
    Codec,
    Frame,
    LocalProtocolError,
    MessageCodec,
    MessageInfo,
    RemoteProtocolError,
)
from wsext.protocol.codes import Opcode
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage


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


# --- what a codec knows of its message ------------------------------------------------------------


class Asks(MessageCodec):
    """Keeps what it can ask about the messages."""

    rsv = RSV.RSV2

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[MessageInfo] = []

    def encode_message(self, data: bytes) -> bytes:
        self.asked.append(self.outgoing_info)
        return data

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.asked.append(self.incoming_info)
        return data


class AsksLater(Asks):
    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().encode_message(data)


def test_it_knows_type_bits_hints_and_metadata() -> None:
    codec = Asks()
    said = {"hints": {"compress": False}, "meta": {"trace": "1"}}
    codec.encode(Frame(Opcode.TEXT, b"a", rsv=RSV.RSV1, **said))
    codec.decode(Frame(Opcode.BINARY, b"b", rsv=RSV.RSV1 | RSV.RSV2), 100)
    sent, received = codec.asked
    assert sent == MessageInfo(Opcode.TEXT, RSV.RSV1, **said)
    assert sent.type == "text"
    assert received == MessageInfo(Opcode.BINARY, RSV.RSV1 | RSV.RSV2)
    assert received.type == "binary"
    assert (dict(received.hints), dict(received.meta)) == ({}, {})


def test_fragments_are_one_message_to_ask_about() -> None:
    codec = Asks()
    codec.encode(FIRST.replace(hints={"kit": 1}))
    assert codec.asked == []
    codec.encode(LAST)
    assert codec.asked == [MessageInfo(Opcode.TEXT, hints={"kit": 1})]


async def test_an_asynchronous_codec_may_ask_after_it_has_waited() -> None:
    codec: Any = AsksLater()
    frame = await codec.encode(Frame(Opcode.BINARY, b"a"))
    codec.decode(frame.replace(opcode=Opcode.TEXT), 100)
    assert [info.opcode for info in codec.asked] == [Opcode.BINARY, Opcode.TEXT]


def test_between_the_messages_there_is_nothing_to_ask_about() -> None:
    codec = Asks()
    codec.decode(codec.encode(Frame(Opcode.TEXT, b"a")), 100)  # type: ignore[arg-type]
    for name in ("outgoing_info", "incoming_info"):
        with pytest.raises(RuntimeError, match="only while"):
            getattr(codec, name)


# --- mandatory codecs -----------------------------------------------------------------------------


class Must(Upper):
    mandatory = True

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        return False


def test_a_mandatory_codec_refuses_what_is_not_marked() -> None:
    for frame in (Frame(Opcode.TEXT, b"a"), FIRST, Frame(Opcode.TEXT, b"a", rsv=RSV.RSV1)):
        with pytest.raises(RemoteProtocolError, match="not marked") as refused:
            Must().decode(frame, 100)
        assert refused.value.code == 1002
    ping = Frame(Opcode.PING, b"x")
    assert Must().decode(ping, 100) is ping


def test_a_mandatory_codec_leaves_no_message_out() -> None:
    pipeline = Pipeline([Stage("x-must", Must(), RSV.RSV2)])
    for frames in ([Frame(Opcode.TEXT, b"a", hints={"compress": False})], [FIRST, LAST]):
        (sent,) = [out for frame in frames for out in pipeline.encode(frame)]
        assert sent.rsv == RSV.RSV2
    with pytest.raises(LocalProtocolError) as failed:
        pipeline.encode(Frame(Opcode.TEXT, b""))  # encode_message() returns None
    assert failed.value.code == 1011
