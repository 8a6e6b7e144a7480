"""The cases about the state of codecs catch extensions that are each wrong in one way."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.testing.mutants import Mutants, PackCodec, check_caught, with_codec
from wsext import (
    Frame,
    RemoteProtocolError,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Counter(PackCodec):
    """Numbers messages over all connections, and the other side takes the number off."""

    sent: ClassVar[list[int]] = [0]

    def encode_message(self, data: bytes) -> bytes:
        self.sent[0] += 1
        return self.sent[0].to_bytes(4, "big") + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data[4:], budget)


caught_by("test_equal_share_keys_mean_equal_bytes")(with_codec(Counter))


class History(PackCodec):
    """Keeps a context, and claims that it does not."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.packer = zlib.compressobj(6, zlib.DEFLATED, -self.bits)
        self.unpacker = zlib.decompressobj(-self.bits)

    def encode_message(self, data: bytes) -> bytes:
        return self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            out = self.unpacker.decompress(data, budget + 1)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None
        if len(out) > budget:
            raise RemoteProtocolError(1009, "too large")
        return out


caught_by("test_equal_share_keys_mean_equal_bytes")(with_codec(History))


class Shares(History):
    """Encodes from a fresh state what is shared, as long as `skip_shared` is right."""

    def encode_shared(self, frame: Frame) -> Frame:
        packer = zlib.compressobj(6, zlib.DEFLATED, -self.bits)
        data = packer.compress(frame.payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        return frame.replace(payload=data, rsv=frame.rsv | self.rsv)


caught_by("test_shared_frames_fit_into_every_connection")(with_codec(Shares))


class FedAndRaw(History):
    """Feeds its encoder in `wants`, and then lets the message by."""

    share_key = None  # type: ignore[assignment]

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        self.packer.compress(bytes(frame.payload))
        return hints.get("compress", True) is not False


caught_by("test_messages_that_pass_by_leave_the_state_alone")(with_codec(FedAndRaw))


@pytest.mark.parametrize(("kind", "case", "attributes"), MUTANTS, ids=MUTANTS.ids)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    check_caught(kind, case, attributes)
