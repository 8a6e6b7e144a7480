"""The cases about limits and damage catch codecs that are each wrong in one way."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from tests.testing.mutants import (
    Mutants,
    PackCodec,
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
class InflatesAndRefuses(PackCodec):
    """Decodes everything, and refuses it then."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        out = super().decode_message(data, 1 << 30)
        if len(out) > budget:
            raise RemoteProtocolError(1009, "too large")
        return out


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


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
