"""Sealed messages: whatever is done to one on its way, it is refused with 1002."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from tests.extensions import Mac, MacCodec, Reverse
from wsext import (
    RSV,
    Agreement,
    Frame,
    NegotiationContext,
    NegotiationError,
    Params,
    ProtocolError,
    RemoteProtocolError,
    SealedCodec,
    testing,
)
from wsext.testing.engines import MASK, Engines, messages_of, parse_wire, write_wire

MESSAGE = Frame(1, b"transfer 100 to Ada")


class LaterCodec(MacCodec):
    async def seal(self, data: bytes, context: bytes) -> bytes:
        await asyncio.sleep(0)
        return bytes(super().seal(data, context))

    async def unseal(self, data: bytes, context: bytes) -> bytes:
        await asyncio.sleep(0)
        return bytes(super().unseal(data, context))


class UnorderedCodec(MacCodec):
    ordered = False


class Marked(Mac):
    """With a bit."""

    name: ClassVar[str] = "x-marked"
    rsv: ClassVar[RSV] = RSV.RSV1


class Later(Mac):
    """An asynchronous codec."""

    name: ClassVar[str] = "x-later"
    codec: ClassVar[type[SealedCodec]] = LaterCodec


class Unordered(Mac):
    """Messages without numbers."""

    name: ClassVar[str] = "x-unordered"
    codec: ClassVar[type[SealedCodec]] = UnorderedCodec


KINDS: list[type[Mac]] = [Mac, Marked, Later]


class TestMarked(testing.ExtensionSuite):
    extension = Marked


# --- attacks --------------------------------------------------------------------------------------


def sent(engines: Engines, *messages: Frame, by: str = "client") -> list[Frame]:
    """What one side puts on the wire for some messages."""
    return parse_wire(engines.finish(engines.send(by, messages)), masked=by == "client")


def arrive(engines: Engines, frames: Sequence[Frame], by: str = "client") -> list[str | bytes]:
    """The messages that the other side makes of some frames."""
    data = write_wire(frames, MASK if by == "client" else b"")
    return messages_of(engines.finish(engines.receive(by, data)))


def assert_refused(engines: Engines, frames: Sequence[Frame], by: str = "client") -> None:
    with pytest.raises(ProtocolError) as refused:
        arrive(engines, frames, by)
    assert refused.value.code == 1002
    assert refused.value.reason in ("the message is not authentic", "the message is not marked")


#: Engines, and a place in the message, to the frames that come to the server.
Attack = Callable[[Engines, int], Sequence[Frame]]


def cut_off(engines: Engines, at: int) -> Sequence[Frame]:
    (frame,) = sent(engines, MESSAGE)
    return [frame.replace(payload=frame.payload[:at])]


def changed(engines: Engines, at: int) -> Sequence[Frame]:
    (frame,) = sent(engines, MESSAGE)
    payload = bytearray(frame.payload)
    payload[at] ^= 1 << at % 8
    return [frame.replace(payload=bytes(payload))]


def replayed(engines: Engines, at: int) -> Sequence[Frame]:
    frames = sent(engines, MESSAGE)
    assert arrive(engines, frames) == [MESSAGE.payload.decode()]  # type: ignore[union-attr]
    return frames


def reordered(engines: Engines, at: int) -> Sequence[Frame]:
    first, second = sent(engines, MESSAGE, MESSAGE)
    return [second, first]


def left_out(engines: Engines, at: int) -> Sequence[Frame]:
    return sent(engines, MESSAGE, MESSAGE)[1:]


def of_another_type(engines: Engines, at: int) -> Sequence[Frame]:
    (frame,) = sent(engines, MESSAGE)
    return [frame.replace(opcode=2)]


def of_another_session(engines: Engines, at: int) -> Sequence[Frame]:
    kind = type(engines.on_client.agreed[0].extension)
    with Engines([kind()], [kind()]) as others:
        return sent(others, MESSAGE)


def never_sealed(engines: Engines, at: int) -> Sequence[Frame]:
    return [MESSAGE, Frame(1, b"")][at:]


#: Where each attack is tried, each time on a new session.
PLACES: dict[Attack, Sequence[int]] = {
    cut_off: (0, 1, 31, 32, 50),
    changed: (0, 18, 19, 50),
    never_sealed: (0, 1),
    **dict.fromkeys((replayed, reordered, left_out, of_another_type, of_another_session), (0,)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", PLACES, ids=lambda attack: attack.__name__)
def test_an_attack_is_refused(attack: Attack, kind: type[Mac]) -> None:
    for at in PLACES[attack]:
        with Engines([kind()], [kind()]) as engines:
            frames = attack(engines, at)
            assert_refused(engines, frames)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_sent_back_is_refused(kind: type[Mac]) -> None:
    with Engines([kind()], [kind()]) as engines:
        assert_refused(engines, sent(engines, MESSAGE), by="server")


def test_bits_of_other_extensions_are_authenticated() -> None:
    for change in (RSV.RSV3, RSV.RSV2):
        both = [Reverse(), Mac()]
        with Engines(both, both) as engines:
            (frame,) = sent(engines, MESSAGE)
            assert frame.rsv == RSV.RSV3
            bits = RSV.NONE if change == RSV.RSV3 else frame.rsv | change
            with pytest.raises(ProtocolError) as refused:
                arrive(engines, [frame.replace(rsv=bits)])
            assert refused.value.code == 1002


def test_without_numbers_a_message_may_come_again() -> None:
    with Engines([Unordered()], [Unordered()]) as engines:
        assert len(arrive(engines, replayed(engines, 0))) == 1
        assert_refused(engines, of_another_session(engines, 0))


# --- what the author's methods may do -----------------------------------------------------------


@pytest.mark.parametrize("error", [IndexError("short"), AttributeError("x"), TimeoutError()])
@pytest.mark.parametrize("base", [MacCodec, LaterCodec])
def test_whatever_unseal_raises_the_message_is_refused(
    error: Exception, base: type[SealedCodec], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Mac if base is MacCodec else Later
    monkeypatch.setattr(hmac, "compare_digest", lambda *args: _raise(error))
    with Engines([kind()], [kind()]) as engines:
        assert_refused(engines, sent(engines, MESSAGE))


@pytest.mark.parametrize("returned", [None, False, "text"])
def test_what_is_no_data_is_not_delivered(returned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MacCodec, "unseal", lambda self, data, context: returned)
    with Engines([Mac()], [Mac()]) as engines, pytest.raises(ProtocolError) as failed:
        arrive(engines, sent(engines, MESSAGE))
    assert failed.value.code == 1011


def test_unseal_may_refuse_with_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RemoteProtocolError(1008, "the key has expired")
    monkeypatch.setattr(hmac, "compare_digest", lambda *args: _raise(error))
    with Engines([Mac()], [Mac()]) as engines, pytest.raises(ProtocolError) as refused:
        arrive(engines, sent(engines, MESSAGE))
    assert (refused.value.code, refused.value.reason) == (1008, "the key has expired")


def _raise(error: Exception) -> Any:
    raise error


def test_a_codec_without_a_binding_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"MacCodec needs a context from SealedExtension.bind"):
        MacCodec(NegotiationContext("client", 1 << 20))


# --- negotiation ----------------------------------------------------------------------------------

SERVER = NegotiationContext("server", 1 << 20)
CLIENT = NegotiationContext("client", 1 << 20)


def test_every_session_has_a_binding_that_both_sides_know() -> None:
    extension = Mac()
    offers = [extension.offer(a=1), extension.offer()]
    bindings = set()
    for offer in offers:
        answer = extension.answer(offer, b=2)
        bound = extension.bind(answer, SERVER)
        assert bound.binding == extension.bind(answer, CLIENT, offers).binding
        bindings.add(bound.binding)
        changed_answer = Params({**answer, "b": "3"})
        bindings.add(extension.bind(changed_answer, SERVER).binding)
    assert len(bindings) == 4


@pytest.mark.parametrize("nonce", [None, "", "0" * 31, "0" * 33, "G" * 32])
def test_an_offer_without_a_good_nonce_is_declined(nonce: str | None) -> None:
    offer = Params() if nonce is None else Params(nonce=nonce or None)
    with pytest.raises(NegotiationError, match="nonce"):
        Mac().accept(offer, SERVER)


def test_a_client_refuses_an_answer_to_what_it_did_not_offer() -> None:
    extension = Mac()
    offers = [extension.offer()]
    foreign = extension.answer(extension.offer())
    mine = offers[0]["nonce"]
    for answer in (foreign, Params(), Params(nonce=mine), Params(nonce=f"{mine}{'z' * 32}")):
        with pytest.raises(NegotiationError, match="nonce"):
            extension.confirm(offers, answer, CLIENT)
    with pytest.raises(NegotiationError, match="was not offered"):
        extension.confirm(offers, extension.answer(offers[0], extra=1), CLIENT)


def test_parameters_of_its_own_are_declared_beside_the_nonce() -> None:
    class Sized(Mac):
        """With a parameter."""

        name: ClassVar[str] = "x-sized"
        extra_wire_params: ClassVar[frozenset[str]] = frozenset({"size"})

    assert Sized.wire_params == {"nonce", "size"}
    assert isinstance(Mac().accept(Mac().offer(), SERVER), Agreement)
