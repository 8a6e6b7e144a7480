"""The cases about codecs catch codecs that are each wrong in one way."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from tests.testing.mutants import Mutants, PackCodec, check_caught, with_codec
from wsext import (
    RSV,
    Codec,
    Frame,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class InflatesTooMuch(PackCodec):
    """Decodes everything, and leaves the limit to the core."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, 1 << 30)


caught_by("test_the_budget_is_kept")(with_codec(InflatesTooMuch))


class RaisesAnything(PackCodec):
    """Lets exceptions of its library out."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        out = zlib.decompressobj(-self.bits).decompress(data, budget)
        if not out and data:
            raise KeyError("what is this?")
        return out


caught_by("test_damage_is_a_protocol_error")(with_codec(RaisesAnything))


class ForgetsEmpty(PackCodec):
    """Drops messages without data."""

    def encode(self, frame: Frame) -> Any:
        if frame.opcode in (1, 2) and frame.fin and not frame.payload:
            return ()
        return super().encode(frame)


caught_by("test_empty_messages")(with_codec(ForgetsEmpty))


class EatsPings(PackCodec):
    """Drops control frames inside a message."""

    control_frames = True

    def decode(self, frame: Frame, budget: int) -> Any:
        return () if frame.opcode == 9 else super().decode(frame, budget)


caught_by("test_control_frames_pass")(with_codec(EatsPings))


class WrongBit(PackCodec):
    """Sets a bit that it did not claim."""

    def encode(self, frame: Frame) -> Any:
        out = super().encode(frame)
        return out.replace(rsv=out.rsv | RSV.RSV3) if isinstance(out, Frame) else out


caught_by("test_messages_round_trip")(with_codec(WrongBit))


class IgnoresTheBit(PackCodec):
    """Decodes messages that are not marked."""

    def decode(self, frame: Frame, budget: int) -> Any:
        return super().decode(frame.replace(rsv=frame.rsv | RSV.RSV1), budget)


caught_by("test_unmarked_messages_pass")(with_codec(IgnoresTheBit))


class BoundTooSmall(PackCodec):
    """Promises less than it needs."""

    def encoded_bound(self, size: int) -> int:
        return size


caught_by("test_the_bound_of_encoding_holds")(with_codec(BoundTooSmall))


class BudgetOffByOne(PackCodec):
    """Refuses a message of exactly the limit."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, budget - 1)


caught_by("test_the_budget_is_enough")(with_codec(BudgetOffByOne))


class LosesOrder(PackCodec):
    """Sends a text as binary."""

    def encode(self, frame: Frame) -> Any:
        return super().encode(frame.replace(opcode=2) if frame.opcode == 1 else frame)


caught_by("test_opcodes_and_metadata_survive")(with_codec(LosesOrder))


class WritesIntoTheFrame(PackCodec):
    """Changes the caller's frame."""

    def encode(self, frame: Frame) -> Any:
        out = super().encode(frame)
        if isinstance(out, Frame):
            frame.rsv = out.rsv
        return out


caught_by("test_what_goes_in_is_not_changed")(with_codec(WritesIntoTheFrame))


class OneFrameOnly(Codec):
    """Treats every fragment as a whole message."""

    first_frame_rsv = True

    def __init__(self, *args: Any) -> None:
        self.inner = PackCodec(*args)

    def encode(self, frame: Frame) -> Frame:
        if frame.is_control:
            return frame
        rsv = RSV.RSV1 if frame.opcode else RSV.NONE
        return frame.replace(payload=self.inner.encode_message(bytes(frame.payload)), rsv=rsv)

    def decode(self, frame: Frame, budget: int) -> Frame:
        if frame.is_control or not frame.rsv:
            return frame
        return frame.replace(payload=self.inner.decode_message(bytes(frame.payload), budget), rsv=0)


caught_by("test_messages_round_trip")(with_codec(OneFrameOnly))


class NoChecksum(PackCodec):
    """Forgets to compare."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        out = zlib.decompressobj(-self.bits).decompress(data[:-4], budget)
        return out


caught_by("test_corruption_is_detected", options={"sum": True}, detects_corruption=True)(
    with_codec(NoChecksum)
)


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
