"""The cases about shared histories catch codecs that are each wrong in one way."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.testing.mutants import ContextCodec, Mutants, PackCodec, with_codec
from wsext import Frame, SharedHistory
from wsext.testing.cases_histories import HistoryCases
from wsext.testing.suite import Outcome, run

MUTANTS = Mutants()


def caught_by(case: str) -> Callable[[Any], Any]:
    return MUTANTS.codec(case, "text and binary")


FITS = "test_a_history_fits_whoever_has_had_all_of_it"
MISSES = "test_a_history_fits_who_comes_late_and_misses_some"


class Right(SharedHistory):
    """Compresses each message with those before it as context."""

    def __init__(self, codec: RightCodec) -> None:
        self.packer, self.rsv = codec.new_packer(), int(codec.rsv)

    def encode(self, frame: Frame) -> Frame:
        data = self.packer.compress(frame.payload) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        return frame.replace(payload=data, rsv=frame.rsv | self.rsv)


class RightCodec(ContextCodec):
    """Keeps a context, and follows those of groups."""

    has_history = True
    history: ClassVar[Callable[..., SharedHistory]] = Right

    def wants(self, frame: Frame, hints: Any) -> bool:
        return bool(hints.get("compress", super().wants(frame, hints)))

    def encode_shared(self, frame: Frame) -> Frame:
        return Right(self).encode(frame)

    def skip_shared(self) -> None:
        self.packer = self.new_packer()

    def make_history(self) -> SharedHistory:
        return type(self).history(self)


class _Primed(Right):
    def __init__(self, codec: RightCodec) -> None:
        super().__init__(codec)
        self.packer.compress(b'{"symbol": "WSX", "bid": 101.25, "ask": 101.50, "venue": "XNAS"')
        self.packer.flush(zlib.Z_SYNC_FLUSH)


@caught_by("test_histories_know_nothing_of_each_other")
class BeginsInTheMiddle(RightCodec):
    """Has histories that refer to what no peer has got."""

    history = _Primed


@caught_by(FITS)
class HasOneHistory(RightCodec):
    """Gives the same history to every group."""

    known: ClassVar[dict[Any, SharedHistory]] = {}

    def make_history(self) -> SharedHistory:
        return self.known.setdefault(self.share_key, Right(self))


class _Wide(Right):
    def __init__(self, codec: RightCodec) -> None:
        super().__init__(codec)
        self.packer = zlib.compressobj(6, zlib.DEFLATED, -15)


@caught_by(FITS)
class IgnoresTheWindow(RightCodec):
    """Has histories that refer further back than was agreed."""

    history = _Wide


class _Unmarked(Right):
    def encode(self, frame: Frame) -> Frame:
        return super().encode(frame).replace(rsv=frame.rsv)


@caught_by(FITS)
class Unmarked(RightCodec):
    """Forgets its bit on what a history has made."""

    history = _Unmarked


class _Forgetful(Right):
    def __init__(self, codec: RightCodec) -> None:
        super().__init__(codec)
        self.codec = codec

    def encode(self, frame: Frame) -> Frame:
        self.packer = self.codec.new_packer()
        return super().encode(frame)


@caught_by("test_a_history_makes_messages_smaller")
class Forgetful(RightCodec):
    """Has histories that remember nothing."""

    history = _Forgetful


@caught_by(MISSES)
class KeepsItsContext(RightCodec):
    """Goes on with its own context after messages to a group."""

    def skip_shared(self) -> None:
        pass


class _Own(Right):
    def __init__(self, codec: RightCodec) -> None:
        super().__init__(codec)
        codec.packer = self.packer


@caught_by(MISSES)
class SharesItsCompressor(RightCodec):
    """Encodes its own messages with the compressor of a group."""

    history = _Own

    def skip_shared(self) -> None:
        pass


@caught_by(FITS)
class KeepsNothing(RightCodec):
    """Says that it can follow, and decodes every message on its own."""

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.unpacker = zlib.decompressobj(-self.bits)
        return super().decode_message(data, budget)

    def encode_message(self, data: bytes) -> bytes:
        self.packer = self.new_packer()
        return super().encode_message(data)


class _Borrowed(Right):
    def __init__(self, codec: RightCodec) -> None:
        super().__init__(codec)
        self.codec = codec

    def encode(self, frame: Frame) -> Frame:
        return super().encode(frame) if self.codec.is_open else frame.replace(rsv=self.rsv)


@caught_by("test_a_history_outlives_its_connection")
class NeedsItsCodec(RightCodec):
    """Has histories that end with the codec."""

    history, is_open = _Borrowed, True

    def close(self) -> None:
        self.is_open = False


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()


@pytest.mark.parametrize("kind", ["text", "binary", "text and binary"])
def test_a_right_one_passes(kind: str) -> None:
    suite = type("Only", (HistoryCases,), {"extension": with_codec(RightCodec, kind)})
    assert [(item.name, item.detail) for item in run(suite) if item.outcome != Outcome.PASSED] == []


def test_without_histories_the_cases_say_so() -> None:
    suite = type("Only", (HistoryCases,), {"extension": with_codec(PackCodec)})
    assert {item.outcome for item in run(suite)} == {Outcome.SKIPPED}
