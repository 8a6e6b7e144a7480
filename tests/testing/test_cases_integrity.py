"""The cases about integrity catch codecs that are each wrong in one way."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.testing.mutants import (
    Guard,
    GuardCodec,
    MandatoryCodec,
    Mutants,
    PackCodec,
)
from wsext import (
    Codec,
    Frame,
    NegotiationContext,
    Params,
    RemoteProtocolError,
    SealedCodec,
    SealedExtension,
)
from wsext.testing.cases_integrity import IntegrityCases
from wsext.testing.suite import Outcome, run

MUTANTS = Mutants()


def guard(case: str, promise: str = "detects_corruption") -> Any:
    return MUTANTS.codec(case, "text and binary", base=Guard, **{promise: True})


def corrupt(codec: Any) -> Any:
    """Lets through messages that were changed."""
    return guard("test_corruption_is_detected")(codec)


def replayed(codec: Any) -> Any:
    """Lets through messages that are not in their place."""
    return guard("test_replay_is_detected", "detects_replay")(codec)


@MUTANTS.codec(
    "test_corruption_is_detected", options={"sum": True, "level": 1}, detects_corruption=True
)
class NoChecksum(PackCodec):
    """Forgets to compare."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            return zlib.decompressobj(-self.bits).decompress(data[:-4], budget)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None


@corrupt
class ShortIsFine(MandatoryCodec):
    """Passes plain text that is too short for a digest."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return data if len(data) < 16 else super().decode_message(data, budget)


@corrupt
class AnyPartOfTheDigest(MandatoryCodec):
    """Compares as much of the digest as has come."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, number, data)[:2] + bytes(14)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.received += 1
        if not self.digest(self.there, self.received, data[16:]).startswith(data[:16][:2]):
            raise RemoteProtocolError(1002, "not authentic")
        return data[16:]


@corrupt
class OnlyTheBeginning(MandatoryCodec):
    """Covers the first 16 bytes of a message."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, number, data[:16])


@corrupt
class AllButTheLastByte(MandatoryCodec):
    """Leaves the last byte out."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, number, data[:-1])


@corrupt
class SumOfTheBytes(MandatoryCodec):
    """Covers the sum of the bytes, whatever their order is."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, number, b"%d %d" % (len(data), sum(data)))


@corrupt
class AnyCase(MandatoryCodec):
    """Covers letters whatever their case is."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, number, data.lower())


@corrupt
class EmptyIsFine(MandatoryCodec):
    """Compares nothing where there is no data."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return b"" if len(data) <= 16 else super().decode_message(data, budget)


@corrupt
class LongIsFine(MandatoryCodec):
    """Compares nothing where there is much data."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        if len(data) > 1000:
            self.received += 1
            return data[16:]
        return super().decode_message(data, budget)


@corrupt
class TheFirstIsFine(MandatoryCodec):
    """Compares the first message only."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return data[16:] if self.received else super().decode_message(data, budget)


@corrupt
class ShortGoesUncovered(MandatoryCodec):
    """Leaves short messages as they are."""

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        return len(frame.payload) > 16

    decode = GuardCodec.decode


@guard("test_unmarked_messages_are_refused")
class UnmarkedIsFine(GuardCodec):
    """Passes messages without its bit, as they are."""


@replayed
class WithoutNumbers(MandatoryCodec):
    """Does not number its messages."""

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        return super().digest(side, 0, data)


class Numbered(MandatoryCodec):
    """Sends the number of a message with it."""

    def encode_message(self, data: bytes) -> bytes:
        return (self.sent + 1).to_bytes(8, "big") + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        number = int.from_bytes(data[:8], "big")
        if not self.is_right(number):
            raise RemoteProtocolError(1002, "not in its place")
        before = self.received
        self.received = number - 1
        out = super().decode_message(data[8:], budget)
        self.received = max(before, number)
        return out

    def is_right(self, number: int) -> bool:
        return 0 < number < 1 << 40 and number == self.received + 1


@replayed
class AnyNumber(Numbered):
    """Believes the number that a message has."""

    def is_right(self, number: int) -> bool:
        return 0 < number < 1 << 40


@replayed
class OnlyNotTheLast(Numbered):
    """Refuses no number but the last one."""

    def is_right(self, number: int) -> bool:
        return 0 < number < 1 << 40 and number != self.received


@replayed
class AnyLargerNumber(Numbered):
    """Does not notice that a message is missing."""

    def is_right(self, number: int) -> bool:
        return self.received < number < 1 << 40


@replayed
class AnyConnection(MandatoryCodec):
    """Makes messages of all connections alike."""

    def __init__(self, session: bytes, here: bytes, there: bytes) -> None:
        super().__init__(b"", here, there)


@replayed
class AnyDirection(MandatoryCodec):
    """Makes messages of both directions alike."""

    def __init__(self, session: bytes, here: bytes, there: bytes) -> None:
        super().__init__(session, b"", b"")


# --- sealed codecs ----------------------------------------------------------------------------


class MacCodec(SealedCodec):
    """A right one."""

    def mac(self, data: bytes, context: bytes) -> bytes:
        return hmac.digest(b"secret", context + data, hashlib.sha256)

    def seal(self, data: bytes, context: bytes) -> bytes:
        return self.mac(data, context) + data

    def unseal(self, data: bytes, context: bytes) -> bytes:
        if not hmac.compare_digest(data[:32], self.mac(data[32:], context)):
            raise ValueError
        return data[32:]


class Mac(SealedExtension):
    """Right integrity on the safe base."""

    name: ClassVar[str] = "x-mac"
    codec: ClassVar[type[MacCodec]] = MacCodec

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(ctx)


def sealed(case: str) -> Any:
    """A sealed codec that leaves out something of what it is given."""

    def register(codec: Any) -> Any:
        kind = type(codec.__name__, (Mac,), {"codec": codec, "__doc__": codec.__doc__})
        return MUTANTS.caught_by(case)(kind)

    return register


@sealed("test_corruption_is_detected")
class ForgetsTheData(MacCodec):
    """Covers the context and not the data."""

    def mac(self, data: bytes, context: bytes) -> bytes:
        return super().mac(b"", context)


@sealed("test_replay_is_detected")
class ForgetsTheContext(MacCodec):
    """Covers the data and not the context."""

    def mac(self, data: bytes, context: bytes) -> bytes:
        return super().mac(data, b"")


@sealed("test_replay_is_detected")
class ForgetsTheSession(MacCodec):
    """Leaves the session out of what it covers."""

    def mac(self, data: bytes, context: bytes) -> bytes:
        return super().mac(data, context[32:])


@sealed("test_a_seal_holds_the_type_and_the_bits")
class ForgetsTheType(MacCodec):
    """Leaves the type and the bits out of what it covers."""

    def mac(self, data: bytes, context: bytes) -> bytes:
        return super().mac(data, context[:33] + context[35:])


@pytest.mark.parametrize("rsv", [0, 0x20])
def test_the_safe_base_resists(rsv: int) -> None:
    suite = type("Only", (IntegrityCases,), {"extension": type("M", (Mac,), {"rsv": rsv})})
    results = list(run(suite))
    assert [item for item in results if item.outcome is Outcome.FAILED] == []
    skipped = [item.name for item in results if item.outcome is Outcome.SKIPPED]
    assert skipped == ([] if rsv else ["test_unmarked_messages_are_refused"])


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
