"""The cases about the state of codecs catch extensions that are each wrong in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tests.testing.mutants import DeltaCodec, Mutants, Pack, PackCodec
from wsext import (
    Agreement,
    Codec,
    Declined,
    Frame,
    NegotiationContext,
    Params,
    RemoteProtocolError,
)

MUTANTS = Mutants()
caught_by = MUTANTS.codec


@caught_by("test_messages_that_pass_by_leave_the_state_alone")
class FedAndRaw(DeltaCodec):
    """Remembers a message in `wants`, and then lets it by."""

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        wanted = hints.get("compress", True) is not False
        if not wanted and frame.fin:
            self.encode_message(bytes(frame.payload))
        return wanted


@caught_by("test_messages_that_pass_by_leave_the_state_alone")
class TruthyWants(PackCodec):
    """Says with something else than a bool what it wants."""

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> Any:
        return hints.get("compress", "yes") or None


@caught_by("test_messages_that_pass_by_leave_the_state_alone", "text and binary")
class KnowsAllHints(PackCodec):
    """Takes for granted that a hint is there when it is asked."""

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        return bool(hints["compress"]) if hints else True


@caught_by("test_connections_do_not_share_state")
class CountsForAll(PackCodec):
    """Sends with each message how many long ones all connections have sent."""

    count: ClassVar[list[int]] = [0]

    def encode_message(self, data: bytes) -> bytes:
        self.count[0] += len(data) > 1000
        return self.count[0].to_bytes(4, "big") + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data[4:], budget)


@caught_by("test_connections_are_kept_apart")
class OneHistoryForAll(DeltaCodec):
    """Keeps the history of all connections in its class."""

    def encode_message(self, data: bytes) -> bytes | None:
        encoded = super().encode_message(data)
        type(self).sent = self.__dict__.pop("sent")
        return encoded

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.received = type(self).__dict__.get("received", b"")
        decoded = super().decode_message(data, budget)
        type(self).received = self.__dict__.pop("received")
        return decoded

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        del self.sent, self.received

    sent = received = b""


@MUTANTS.caught_by("test_connections_are_kept_apart")
class AgreedOnTheInstance(Pack):
    """Keeps what one connection has agreed on the instance that all share."""

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        self.checksum = checksum
        return Agreement(_Late(self, bits), Params(bits=bits, sum=checksum))


class _Late(PackCodec):
    def __init__(self, extension: Any, bits: int) -> None:
        self.extension = extension
        super().__init__(extension.options, bits, extension.checksum)

    @property
    def checksum(self) -> bool:
        return bool(self.extension.checksum)

    @checksum.setter
    def checksum(self, value: bool) -> None:
        pass


@MUTANTS.caught_by("test_connections_are_kept_apart")
class OneCodecPerOptions(Pack):
    """Uses a codec again for the next connection that agrees on the same."""

    def setup(self) -> None:
        self.made: dict[Any, Codec] = {}

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        codec = self.made.setdefault((bits, checksum), DeltaCodec())
        return Agreement(codec, Params(bits=bits, sum=checksum))  # type: ignore[arg-type]

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        super().confirm(offers, answer, ctx)
        return DeltaCodec()


@caught_by("test_close_frees_at_any_time")
class ClosesWhatItNeverMade(PackCodec):
    """Frees in `close` what the first message makes."""

    def encode_message(self, data: bytes) -> bytes:
        self.made = bytearray(10)
        return super().encode_message(data)

    def close(self) -> None:
        self.made.clear()


@caught_by("test_it_stacks_with_others_in_every_order")
class OneFramePerMessage(DeltaCodec):
    """Is right as long as nobody next to it sends fragments."""

    def decode(self, frame: Frame, budget: int) -> Any:
        if frame.opcode == 0:
            raise RemoteProtocolError(1002, "fragments")
        return super().decode(frame, budget)


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
