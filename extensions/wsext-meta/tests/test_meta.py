"""permessage-meta: the kit, the envelope, sessions, and the stack of three."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsext_meta import PermessageMeta, pack, unpack
from wsext_meta.envelope import read_length

import wsext
from wsext import App, LocalProtocolError, Session, testing


class TestMeta(testing.ExtensionSuite):
    extension = PermessageMeta


values = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.booleans(),
)


@given(st.dictionaries(st.text(max_size=10), values, max_size=6))
def test_an_envelope_round_trips(meta: dict[str, Any]) -> None:
    envelope = pack(meta)
    found = read_length(envelope)
    assert found is not None
    size, start = found
    assert len(envelope) == start + size
    got = unpack(envelope[start:])
    assert got == meta
    assert [type(value) for value in got.values()] == [type(value) for value in meta.values()]


@given(st.binary(max_size=60))
def test_damaged_envelopes_raise_value_errors_only(data: bytes) -> None:
    try:
        unpack(data)
        outcome = "read"
    except ValueError:
        outcome = "refused"
    assert outcome in ("read", "refused")


@pytest.mark.parametrize("meta", [{"a": None}, {"a": [1]}, {5: "x"}])
def test_what_cannot_travel_is_refused(meta: Any) -> None:
    with pytest.raises(TypeError):
        pack(meta)


async def test_metadata_travels_beside_text_binary_and_streams() -> None:
    async def chunks() -> Any:
        yield "one "
        yield "two"

    async with testing.pair([PermessageMeta]) as (client, server):
        await client.send("text", meta={"id": 1})
        message = await server.receive_message()
        assert (message.data, message.meta) == ("text", {"id": 1})
        await server.send(b"binary", meta={"ok": True, "at": 1.5, "raw": b"\xff"})
        message = await client.receive_message()
        assert (message.data, message.meta) == (
            b"binary",
            {"ok": True, "at": 1.5, "raw": b"\xff"},
        )
        await client.send(chunks(), meta={"kind": "stream"})
        message = await server.receive_message()
        assert (message.data, message.meta) == ("one two", {"kind": "stream"})
        await client.send("plain")
        message = await server.receive_message()
        assert (message.data, message.meta) == ("plain", {})
        assert client.transcript.frames("client")[-1].rsv == 0


async def test_too_much_metadata_fails_on_this_side() -> None:
    async with testing.pair([PermessageMeta(max_size=16)]) as (client, _):
        with pytest.raises(LocalProtocolError, match="16 were agreed"):
            await client.send("x", meta={"long": "y" * 20})


@pytest.mark.slow
async def test_ten_thousand_messages_through_a_stack_of_three() -> None:
    """permessage-deflate, permessage-checksum and this one on one real connection."""
    stack = ["permessage-deflate", "permessage-checksum", "permessage-meta"]
    rng = random.Random(42)
    words = [b"alpha ", b"beta ", b"gamma ", b"\x00\x01", "delta é ".encode()]
    app = App()
    for token in stack:
        app.install(token)

    @app.websocket("/")
    async def echo(session: Session) -> None:
        while True:
            message = await session.receive_message()
            await session.send(message.data, meta=message.meta or None)

    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, extensions=stack) as session,
    ):
        assert session.negotiation.header == (
            "permessage-meta; max_size=4096, permessage-deflate; client_max_window_bits=12, "
            "permessage-checksum; algorithm=crc32c"
        )
        for number in range(10_000):
            data: Any = b"".join(rng.choices(words, k=rng.randrange(12)))
            if number % 3 == 0:
                data = data.decode()
            meta = {"n": number, "tag": rng.choice("abc")} if number % 5 else {}
            await session.send(data, meta=meta or None)
            message = await session.receive_message()
            assert message.data == data
            assert message.meta == meta
