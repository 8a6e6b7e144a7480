"""The cases about shared messages catch codecs that are each wrong in one way."""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from typing import Any, ClassVar

import pytest

from tests.testing.mutants import KINDS, ContextCodec, Mutants, PackCodec, with_codec
from wsext import Frame
from wsext.testing.cases_sharing import SharingCases
from wsext.testing.suite import Outcome, run

MUTANTS = Mutants()
caught_by = MUTANTS.codec


# --- keys -------------------------------------------------------------------------------------


@caught_by("test_a_share_key_is_steady")
class KeyOfLists(PackCodec):
    """Has a key that cannot be hashed."""

    @property
    def share_key(self) -> Any:
        return [self.options.level, self.bits]


@caught_by("test_a_share_key_is_steady")
class KeyOfNow(PackCodec):
    """Has another key after each message."""

    count = 0

    @property
    def share_key(self) -> Hashable:
        return self.bits, self.count

    def encode_message(self, data: bytes) -> bytes:
        self.count += 1
        return super().encode_message(data)


@caught_by("test_equal_share_keys_mean_equal_bytes")
class IgnoresTheWindow(PackCodec):
    """Leaves the agreed window out of its key."""

    @property
    def share_key(self) -> Hashable:
        return self.options, self.checksum


@caught_by("test_equal_share_keys_mean_equal_bytes")
class IgnoresTheChecksum(PackCodec):
    """Leaves an agreed flag out of its key."""

    @property
    def share_key(self) -> Hashable:
        return self.options.level, self.options.threshold, self.bits


@caught_by("test_equal_share_keys_mean_equal_bytes")
class IgnoresTheLevel(PackCodec):
    """Leaves a local option out of its key."""

    @property
    def share_key(self) -> Hashable:
        return self.options.threshold, self.bits, self.checksum


@caught_by("test_equal_share_keys_mean_equal_wants")
class IgnoresTheThreshold(PackCodec):
    """Leaves out of its key what decides which messages it takes."""

    @property
    def share_key(self) -> Hashable:
        return self.options.level, self.bits, self.checksum


@caught_by("test_equal_share_keys_mean_equal_wants", options={"threshold": 64})
class IgnoresALaterThreshold(IgnoresTheThreshold):
    """Leaves out of its key a threshold that is set."""


# --- histories --------------------------------------------------------------------------------


@caught_by("test_equal_share_keys_mean_equal_bytes")
class Counter(PackCodec):
    """Numbers messages over all connections, and the other side takes the number off."""

    sent: ClassVar[list[int]] = [0]

    def encode_message(self, data: bytes) -> bytes:
        self.sent[0] += 1
        return self.sent[0].to_bytes(4, "big") + super().encode_message(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return super().decode_message(data[4:], budget)


@caught_by("test_equal_share_keys_mean_equal_bytes")
class History(ContextCodec):
    """Keeps a context, and claims that it does not."""


@caught_by("test_shared_frames_fit_into_every_connection")
class Shares(History):
    """Encodes from a fresh state what is shared, as long as `skip_shared` is right."""

    def encode_shared(self, frame: Frame) -> Frame:
        packer = self.new_packer()
        data = packer.compress(frame.payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        return frame.replace(payload=data, rsv=frame.rsv | self.rsv)


class RightHistory(Shares):
    """Keeps a context, and forgets it when a shared message is sent."""

    def skip_shared(self) -> None:
        self.packer = self.new_packer()


@caught_by("test_encoding_for_others_leaves_the_state_alone")
class RemembersForOthers(RightHistory):
    """Feeds its own context with what it encodes for others."""

    def encode_shared(self, frame: Frame) -> Frame:
        self.encode_message(bytes(frame.payload))
        return super().encode_shared(frame)


@caught_by("test_shared_frames_fit_into_every_connection")
class SharesUnmarked(PackCodec):
    """Forgets its bit on what is shared."""

    def encode_shared(self, frame: Frame) -> Frame:
        return frame.replace(payload=self.encode_message(bytes(frame.payload)))


@caught_by("test_shared_frames_fit_into_every_connection", "text", "text and binary")
class SharesTextAsBinary(PackCodec):
    """Forgets the type of what is shared."""

    def encode_shared(self, frame: Frame) -> Frame:
        data = self.encode_message(bytes(frame.payload))
        return Frame(2, data, True, int(self.rsv))


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_that_is_forgotten_in_time_passes(kind: str) -> None:
    suite = type("Only", (SharingCases,), {"extension": with_codec(RightHistory, kind)})
    assert {item.outcome for item in run(suite)} == {Outcome.PASSED}
