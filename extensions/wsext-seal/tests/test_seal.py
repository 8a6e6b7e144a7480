"""permessage-seal: the kit, keys, rekeying, and what travels."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from wsext_seal import PermessageSeal, SealCodec

from wsext import (
    App,
    Frame,
    HandshakeError,
    NegotiationContext,
    NegotiationError,
    OptionError,
    ProtocolError,
    Session,
    testing,
)

KEYS: Mapping[str, bytes] = {"new": bytes(range(32)), "old": bytes(32)}
BINDING = bytes(range(32))


async def find_key(key_id: str) -> bytes | None:
    await asyncio.sleep(0)
    return KEYS.get(key_id)


def seal(*key_ids: str, **options: Any) -> PermessageSeal:
    return PermessageSeal(keys=find_key, key_ids=key_ids, **options)


class TestSeal(testing.ExtensionSuite):
    extension = PermessageSeal


def codec(role: str, *, key: bytes = KEYS["new"], rekey_after: int = 2) -> Any:
    return SealCodec(NegotiationContext(role, 1 << 20, binding=BINDING), key, rekey_after)


def echo() -> App:
    app = App()
    app.install(seal(), required=True)

    @app.websocket("/")
    async def answer(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "agreed"), [(["2027", "new", "old"], "new"), (["old"], "old")])
async def test_the_server_takes_the_first_key_that_it_has(asked: list[str], agreed: str) -> None:
    async with testing.connect(echo(), "/", extensions=[seal(*asked)]) as session:
        assert session.extension("permessage-seal").params["key"] == agreed
        await session.send("hello")
        assert await session.receive() == "hello"


async def test_without_a_common_key_there_is_no_session() -> None:
    for extensions in ([seal("unknown")], [seal()], []):
        with pytest.raises(HandshakeError, match="400"):
            async with testing.connect(echo(), "/", extensions=extensions):
                pass


@pytest.mark.parametrize("answered", ["unknown", "old"])
async def test_a_client_refuses_a_key_that_it_did_not_offer(answered: str) -> None:
    client = seal("new")
    (offer,) = client.offers()
    answer = client.answer(offer, key=answered, rekey_after=1)
    with pytest.raises(NegotiationError, match="was not offered"):
        await client.confirm([offer], answer, NegotiationContext("client", 1 << 20))


async def test_a_key_of_another_length_is_the_providers_fault() -> None:
    async def short(key_id: str) -> bytes:
        return b"short"

    extension = PermessageSeal(keys=short, key_ids=["new"])
    (offer,) = extension.offers()
    with pytest.raises(ValueError, match="'new' has 5 bytes, and needs 32"):
        await extension.accept(offer, NegotiationContext("server", 1 << 20))


def test_an_id_has_to_fit_into_a_header() -> None:
    with pytest.raises(OptionError, match="token"):
        seal("two words")


# --- messages -------------------------------------------------------------------------------------


async def test_nothing_of_a_message_is_readable_and_nothing_repeats() -> None:
    async with testing.connect(echo(), "/", extensions=[seal("new")]) as client:
        for _ in range(3):
            await client.send("a secret")
            assert await client.receive() == "a secret"
        frames = client.transcript.frames("client") + client.transcript.frames("server")
        payloads = {bytes(frame.payload) for frame in frames if frame.opcode == 1}
        assert len(payloads) == 6
        assert not any(b"secret" in payload for payload in payloads)
        assert {len(payload) for payload in payloads} == {len("a secret") + 16}


def test_a_new_key_after_every_so_many_messages() -> None:
    sender, receiver = codec("client", rekey_after=2), codec("server", rekey_after=2)
    other = codec("server", rekey_after=3)
    sent = [sender.encode(Frame(2, b"message")) for _ in range(5)]
    assert [bytes(receiver.decode(frame, 100).payload) for frame in sent] == [b"message"] * 5
    assert [bytes(other.decode(frame, 100).payload) for frame in sent[:2]] == [b"message"] * 2
    with pytest.raises(ProtocolError, match="not authentic"):
        other.decode(sent[2], 100)


def test_the_lower_number_of_messages_counts() -> None:
    for client, server in ((5, 9), (9, 5)):
        extension = seal("new", rekey_after=server)
        (offer,) = seal("new", rekey_after=client).offers()
        agreement = asyncio.run(extension.accept(offer, NegotiationContext("server", 1 << 20)))
        assert agreement.params["rekey_after"] == "5"


def test_another_key_opens_nothing() -> None:
    frame = codec("client").encode(Frame(1, b"a secret"))
    with pytest.raises(ProtocolError) as refused:
        codec("server", key=KEYS["old"]).decode(frame, 100)
    assert refused.value.code == 1002


async def test_a_message_that_is_not_sealed_ends_the_session() -> None:
    offer = f"permessage-seal; nonce={'0' * 32}; key=new; rekey_after=9"
    async with testing.raw_peer(echo(), extensions=offer) as peer:
        peer.send_frame(Frame(1, b"not sealed"))
        assert await peer.receive_close() == 1002
