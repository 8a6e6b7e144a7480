"""The cases about limits, damage and integrity catch codecs that are each wrong in one way."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.testing.mutants import (
    Guard,
    GuardCodec,
    MandatoryCodec,
    Mutants,
    PackCodec,
    check_caught,
)
from wsext import Frame, RemoteProtocolError

MUTANTS = Mutants()
caught_by = MUTANTS.codec


# --- limits -----------------------------------------------------------------------------------


@caught_by("test_the_budget_is_kept")
class InflatesTooMuch(PackCodec):
    """Decodes everything, and leaves the limit to the core."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, 1 << 30)


@caught_by("test_the_budget_is_kept")
class WrongCode(PackCodec):
    """Refuses what is too large as if it were damaged."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            return super().decode_message(data, budget)
        except RemoteProtocolError:
            raise RemoteProtocolError(1007, "cannot be read") from None


@caught_by("test_the_budget_is_enough")
class BudgetOffByOne(PackCodec):
    """Refuses a message of exactly the limit."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, budget - 1)


@caught_by("test_the_budget_is_enough")
class BudgetOfAConnection(PackCodec):
    """Takes the budget for that of all messages."""

    total = 0

    def decode_message(self, data: bytes, budget: int) -> bytes:
        out = super().decode_message(data, budget - self.total)
        self.total += len(out)
        return out


@caught_by("test_the_bound_of_encoding_holds")
class BoundTooSmall(PackCodec):
    """Promises less than it needs."""

    def encoded_bound(self, size: int) -> int:
        return size


# --- damage -----------------------------------------------------------------------------------


@caught_by("test_cut_off_messages")
class IndexOfWhatIsMissing(PackCodec):
    """Reads the fifth byte of a message that was cut off."""

    def encode_message(self, data: bytes) -> bytes:
        return b"head" + bytes([len(data) % 256]) + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        if data[4] > 255:
            raise RemoteProtocolError(1007, "impossible")
        return super().decode_message(data[5:], budget)


@caught_by("test_cut_off_messages")
class IndexFromTheEnd(PackCodec):
    """Reads a length at the end, and the byte that it leads to."""

    def encode_message(self, data: bytes) -> bytes:
        body = super().encode_message(data)
        return body + len(body).to_bytes(4, "big")

    def decode_message(self, data: bytes, budget: int) -> bytes:
        size = int.from_bytes(data[-4:], "big")
        if size:
            data[size - 1]
        return super().decode_message(data[:-4], budget)


@caught_by("test_cut_off_messages")
class UnpacksAHeader(PackCodec):
    """Unpacks a header that may be cut off."""

    def encode_message(self, data: bytes) -> bytes:
        return struct.pack("!HH", 0, 0) + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        struct.unpack("!HH", data[:4])
        return super().decode_message(data[4:], budget)


@caught_by("test_cut_off_messages")
class LetsTheLibraryRaise(PackCodec):
    """Lets exceptions of its library out."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return zlib.decompress(data, -self.bits)[:budget]


@caught_by("test_cut_off_messages")
class Asserts(PackCodec):
    """Takes for granted that a message is whole."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        unpacker = zlib.decompressobj(-self.bits)
        try:
            out = unpacker.decompress(data, budget)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None
        assert unpacker.eof
        return out


@caught_by("test_damage_is_a_protocol_error")
class RaisesAnything(PackCodec):
    """Looks up a type that there may not be."""

    def encode_message(self, data: bytes) -> bytes:
        return b"\x01" + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        if not data:
            raise RemoteProtocolError(1007, "empty")
        return {1: super().decode_message}[data[0]](data[1:], budget)


@caught_by("test_damage_is_a_protocol_error")
class IllegalCode(PackCodec):
    """Refuses damage with a code that cannot be sent."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            return super().decode_message(data, budget)
        except RemoteProtocolError as error:
            error.code = 1006
            raise


@caught_by("test_damage_is_a_protocol_error")
class ReturnsNothing(PackCodec):
    """Returns None for what it cannot read."""

    def decode(self, frame: Frame, budget: int) -> Any:
        try:
            return super().decode(frame, budget)
        except RemoteProtocolError:
            return None


@caught_by("test_damage_is_a_protocol_error")
class ReturnsData(PackCodec):
    """Returns the data of what it cannot read, not a frame."""

    def decode(self, frame: Frame, budget: int) -> Any:
        try:
            return super().decode(frame, budget)
        except RemoteProtocolError:
            return [bytes(frame.payload)]


# --- integrity --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
