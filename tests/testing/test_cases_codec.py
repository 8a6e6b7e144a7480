"""The cases about messages and bits catch codecs that are each wrong in one way."""

from __future__ import annotations

import json
import unicodedata
import zlib
from contextlib import suppress
from typing import Any

from tests.testing.mutants import DeltaCodec, Mutants, PackCodec
from wsext import RSV, Codec, Frame, RemoteProtocolError

MUTANTS = Mutants()
caught_by = MUTANTS.codec


# --- what it does to the data -----------------------------------------------------------------


@caught_by("test_empty_messages")
class ForgetsEmpty(PackCodec):
    """Drops messages without data."""

    def encode(self, frame: Frame) -> Any:
        if frame.opcode in (1, 2) and frame.fin and not frame.payload:
            return ()
        return super().encode(frame)


@caught_by("test_messages_round_trip")
class LengthOfOneByte(PackCodec):
    """Writes the length of a message into one byte."""

    def encode_message(self, data: bytes) -> bytes:
        return bytes([len(data) % 256]) + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        if not data:
            raise RemoteProtocolError(1007, "empty")
        return super().decode_message(data[1:], budget)[: data[0]]


@caught_by("test_messages_round_trip")
class StripsBlanks(PackCodec):
    """Takes blanks at the ends for padding."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, budget).strip(b" \t\r\n")


@caught_by("test_messages_round_trip")
class StripsZeros(PackCodec):
    """Takes zeros at the end for padding."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data, budget).rstrip(b"\x00")


@caught_by("test_messages_round_trip")
class WritesJsonAgain(PackCodec):
    """Makes JSON shorter by writing it without blanks."""

    def encode_message(self, data: bytes) -> bytes:
        with suppress(ValueError):
            data = json.dumps(json.loads(data), separators=(",", ":")).encode()
        return super().encode_message(data)


@caught_by("test_messages_round_trip")
class NormalisesText(PackCodec):
    """Puts characters together that were sent apart."""

    def encode_message(self, data: bytes) -> bytes:
        with suppress(ValueError):
            data = unicodedata.normalize("NFC", data.decode()).encode()
        return super().encode_message(data)


@caught_by("test_messages_that_look_encoded")
class LooksAtTheData(PackCodec):
    """Leaves alone what seems to be packed."""

    def encode_message(self, data: bytes) -> bytes:
        try:
            self.decode_message(data, 1 << 20)
        except RemoteProtocolError:
            return super().encode_message(data)
        return data


# --- frames -----------------------------------------------------------------------------------


@caught_by("test_messages_round_trip")
class WrongBit(PackCodec):
    """Sets a bit that it did not claim."""

    def encode(self, frame: Frame) -> Any:
        out = super().encode(frame)
        return out.replace(rsv=out.rsv | RSV.RSV3) if isinstance(out, Frame) else out


@caught_by("test_messages_round_trip")
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


@caught_by("test_messages_round_trip", "text", "text and binary")
class TrustsFragments(PackCodec):
    """Takes every fragment of a text for UTF-8."""

    def encode(self, frame: Frame) -> Any:
        if frame.opcode < 2:
            bytes(frame.payload).decode()
        return super().encode(frame)


@caught_by("test_messages_round_trip")
class HoldsTheLast(PackCodec):
    """Waits for the next message before it sends one."""

    held: Any = ()

    def encode(self, frame: Frame) -> Any:
        if frame.is_control or not frame.fin:
            return super().encode(frame)
        ready, self.held = self.held, super().encode(frame)
        return ready


@caught_by("test_opcodes_and_metadata_survive", "text", "text and binary")
class LosesTheType(PackCodec):
    """Sends a text as binary."""

    def encode(self, frame: Frame) -> Any:
        return super().encode(frame.replace(opcode=2) if frame.opcode == 1 else frame)


@caught_by("test_opcodes_and_metadata_survive")
class NeedsAHint(PackCodec):
    """Takes for granted that a hint is there."""

    def encode(self, frame: Frame) -> Any:
        if frame.hints is not None and frame.opcode:
            frame.hints["compress"]
        return super().encode(frame)


@caught_by("test_what_goes_in_is_not_changed")
class WritesIntoTheFrame(PackCodec):
    """Changes the caller's frame."""

    def encode(self, frame: Frame) -> Any:
        out = super().encode(frame)
        if isinstance(out, Frame):
            frame.rsv = out.rsv
        return out


@caught_by("test_what_goes_in_is_not_changed")
class ChangesWhatCame(PackCodec):
    """Writes what it has decoded into the frame that came."""

    def decode(self, frame: Frame, budget: int) -> Any:
        out = super().decode(frame, budget)
        if isinstance(out, Frame):
            frame.payload, frame.rsv = out.payload, out.rsv
            return frame
        return out


@caught_by("test_what_goes_in_is_not_changed")
class KeepsTheBuffer(DeltaCodec):
    """Remembers the caller's buffer instead of its data."""

    def encode(self, frame: Frame) -> Any:
        out = super().encode(frame)
        self.sent = frame.payload if frame.opcode and frame.fin else self.sent  # type: ignore[assignment]
        return out


@caught_by("test_control_frames_pass")
class EatsPings(PackCodec):
    """Drops control frames inside a message."""

    control_frames = True

    def decode(self, frame: Frame, budget: int) -> Any:
        return () if frame.opcode == 9 else super().decode(frame, budget)


@caught_by("test_control_frames_pass")
class GrowsPings(PackCodec):
    """Adds a byte to control frames, which may have 125."""

    control_frames = True

    def encode(self, frame: Frame) -> Any:
        if frame.opcode >= 8:
            return frame.replace(payload=(bytes(frame.payload) + b"!")[:125])
        return super().encode(frame)

    def decode(self, frame: Frame, budget: int) -> Any:
        if frame.opcode >= 8:
            return frame.replace(payload=bytes(frame.payload)[:-1])
        return super().decode(frame, budget)


# --- bits -------------------------------------------------------------------------------------


@caught_by("test_only_claimed_bits_are_set")
class MarksEveryFrame(Codec):
    """Sets its bit on continuations, too, and says that it does not."""

    first_frame_rsv = True

    def __init__(self, *args: Any) -> None:
        pass

    def encode(self, frame: Frame) -> Frame:
        return frame.replace(rsv=RSV.RSV1)


@caught_by("test_decoding_clears_the_bits")
class LeavesTheBit(PackCodec):
    """Does not clear its bit."""

    def decode(self, frame: Frame, budget: int) -> Any:
        out = super().decode(frame, budget)
        return out.replace(rsv=frame.rsv) if isinstance(out, Frame) else out


@caught_by("test_unmarked_messages_pass")
class IgnoresTheBit(PackCodec):
    """Decodes messages that are not marked."""

    def decode(self, frame: Frame, budget: int) -> Any:
        return super().decode(frame.replace(rsv=frame.rsv | RSV.RSV1), budget)


@caught_by("test_unmarked_messages_pass", "text and binary")
class RefusesTheOthers(PackCodec):
    """Refuses messages that are not marked, and does not say that it does."""

    def decode(self, frame: Frame, budget: int) -> Any:
        if frame.opcode in (1, 2) and not frame.rsv:
            raise RemoteProtocolError(1002, "unmarked")
        return super().decode(frame, budget)


# --- histories --------------------------------------------------------------------------------


@caught_by("test_similar_messages")
class NoneAfterAChange(DeltaCodec):
    """Remembers a message, and then sends it as it is because that is shorter."""

    def encode_message(self, data: bytes) -> bytes | None:
        encoded = super().encode_message(data)
        return encoded if encoded is not None and len(encoded) < len(data) else None


@caught_by("test_similar_messages")
class CountsWhatItDoesNotSend(PackCodec):
    """Counts a message, and then sends it without its number because that is shorter."""

    sent = received = 0

    def encode_message(self, data: bytes) -> bytes | None:  # type: ignore[override]
        self.sent += 1
        encoded = self.sent.to_bytes(2, "big") + super().encode_message(data)
        return encoded if len(encoded) < len(data) else None

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.received += 1
        if data[:2] != self.received.to_bytes(2, "big"):
            raise RemoteProtocolError(1002, "a message is missing")
        return super().decode_message(data[2:], budget)


@caught_by("test_many_messages", "text and binary")
class CountsInOneByte(PackCodec):
    """Has one byte for the number of a message."""

    sent = 0

    def encode_message(self, data: bytes) -> bytes:
        self.sent += 1
        return bytes([self.sent]) + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data[1:], budget)


@caught_by("test_similar_messages")
class FeedsAndDrops(PackCodec):
    """Feeds its compressor, and then drops what came out because it did not get shorter."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.unpacker = zlib.decompressobj(-15)

    def encode_message(self, data: bytes) -> bytes | None:  # type: ignore[override]
        encoded = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        return encoded if len(encoded) < len(data) else None

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            return self.unpacker.decompress(data, budget)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None


@caught_by("test_similar_messages")
class ForgetsEmptyOnes(DeltaCodec):
    """Does not remember messages without data; the other side does."""

    def encode_message(self, data: bytes) -> bytes | None:
        before = self.sent
        encoded = super().encode_message(data)
        self.sent = data or before
        return encoded


@caught_by("test_similar_messages")
class OneHistory(DeltaCodec):
    """Keeps what it has sent and what it has received in one place."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.sent = super().decode_message(data, budget)
        return self.sent


@caught_by("test_similar_messages")
class ForgetsTheRest(DeltaCodec):
    """Remembers no more of a message than the last one had."""

    def encode_message(self, data: bytes) -> bytes | None:
        before = self.sent
        encoded = super().encode_message(data)
        self.sent = data[: len(before)] if before else data
        return encoded

    def decode_message(self, data: bytes, budget: int) -> bytes:
        whole = super().decode_message(data, budget)
        self.received = whole[:100]
        return whole


@caught_by("test_similar_messages", "text and binary")
class HistoryOfText(DeltaCodec):
    """Remembers only text when it sends, and everything when it receives."""

    def encode(self, frame: Frame) -> Any:
        before = self.sent
        out = super().encode(frame)
        self.sent = self.sent if frame.opcode == 1 else before
        return out


@caught_by("test_messages_round_trip")
class HistoryOfWholeFrames(DeltaCodec):
    """Does not remember messages in fragments; the other side does."""

    def encode(self, frame: Frame) -> Any:
        before = self.sent
        out = super().encode(frame)
        self.sent = self.sent if frame.opcode and frame.fin else before
        return out


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
