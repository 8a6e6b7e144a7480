"""The kit on extensions that are right, and on mutants that are each wrong in one way."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import Phase, settings
from wsext_deflate import PermessageDeflate
from wsext_framelog import FrameLog

from tests.extensions import Append, Reverse, Slow
from wsext import (
    RSV,
    Agreement,
    Codec,
    Declined,
    Extension,
    Frame,
    Interceptor,
    MessageCodec,
    NegotiationContext,
    OptionSet,
    Params,
    RemoteProtocolError,
    hookimpl,
    local,
    wire,
)
from wsext.testing import ExtensionSuite
from wsext.testing.suite import Outcome, cases, run, suite_for


class PackOptions(OptionSet):
    """What `Pack` negotiates."""

    level: Annotated[int, local("zlib level", ge=1, le=9)] = 6
    bits: Annotated[int, wire("window bits", ge=9, le=15)] = 15
    sum: Annotated[bool, wire("a checksum at the end")] = False


class PackCodec(MessageCodec):
    """Compresses every message on its own, optionally with a checksum."""

    def __init__(self, level: int, bits: int, checksum: bool) -> None:
        super().__init__()
        self.level, self.bits, self.checksum = level, bits, checksum

    @property
    def share_key(self) -> Hashable | None:
        return self.level, self.bits, self.checksum

    def encoded_bound(self, size: int) -> int:
        return size + size // 8 + 1024

    def encode_message(self, data: bytes) -> bytes:
        packer = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)
        tail = zlib.crc32(data).to_bytes(4, "big") if self.checksum else b""
        return packer.compress(data) + packer.flush() + tail

    def decode_message(self, data: bytes, budget: int) -> bytes:
        tail = b""
        if self.checksum:
            data, tail = data[:-4], data[-4:]
        unpacker = zlib.decompressobj(-self.bits)
        try:
            out = unpacker.decompress(data, budget + 1)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None
        if len(out) > budget:
            raise RemoteProtocolError(1009, "too large")
        if not unpacker.eof or unpacker.unused_data:
            raise RemoteProtocolError(1007, "truncated")
        if self.checksum and tail != zlib.crc32(out).to_bytes(4, "big"):
            raise RemoteProtocolError(1002, "wrong checksum")
        return out


class Pack(Extension):
    """A right extension, from which the mutants are made."""

    name: ClassVar[str] = "x-pack"
    rsv: ClassVar[RSV] = RSV.RSV1
    Options: ClassVar[type[OptionSet]] = PackOptions
    options: PackOptions
    codec: ClassVar[Callable[..., Codec]] = PackCodec

    def offers(self) -> Sequence[Params]:
        return [Params(bits=self.options.bits, sum=self.options.sum), Params()]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        bits = offer.integer("bits", 9, 15) or 15
        return self.agree(min(bits, self.options.bits), offer.flag("sum") or self.options.sum)

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        codec = self.codec(self.options.level, bits, checksum)
        return Agreement(codec, Params(bits=bits, sum=checksum))  # type: ignore[arg-type]

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(
            self.options.level, answer.integer("bits", 9, 15) or 15, answer.flag("sum")
        )


class TestPack(ExtensionSuite):
    """pytest runs the kit as an author's tests do."""

    extension = Pack


class TestPackWithChecksum(ExtensionSuite):
    extension = Pack
    options: ClassVar[Mapping[str, Any]] = {"sum": True}
    detects_corruption = True


@pytest.mark.parametrize("kind", [PermessageDeflate, Append, Reverse, Slow, FrameLog])
def test_extensions_that_are_right_pass(kind: Any) -> None:
    results = list(run(suite_for(kind, examples=15)))
    assert [item for item in results if item.outcome is Outcome.FAILED] == []
    assert sum(item.outcome is Outcome.PASSED for item in results) >= 8
    assert all(item.detail for item in results if item.outcome is Outcome.SKIPPED)


# --- mutants ----------------------------------------------------------------------------------

MUTANTS: list[tuple[type[Any], str, dict[str, Any]]] = []


def caught_by(case: str, **attributes: Any) -> Callable[[type[Any]], type[Any]]:
    """The case that is meant for a mutant."""

    def register(kind: type[Any]) -> type[Any]:
        MUTANTS.append((kind, case, attributes))
        return kind

    return register


def with_codec(codec: Callable[..., Codec]) -> type[Pack]:
    return type("Mutant", (Pack,), {"codec": staticmethod(codec), "__doc__": "A mutant."})


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


@caught_by("test_unknown_parameters_are_declined")
class TakesEverything(Pack):
    """Knows every parameter."""

    extra_wire_params: ClassVar[frozenset[str]] = frozenset({"kit-unknown"})


@caught_by("test_flags_take_no_value")
class FlagWithValue(Pack):
    """Takes a flag with any value."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return self.agree(offer.integer("bits", 9, 15) or 15, "sum" in offer)


@caught_by("test_numbers_are_checked_against_their_bounds")
class AnyNumber(Pack):
    """Clamps a number instead of declining it."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        text = offer.get("bits") or "15"
        bits = int(text) if text.isdigit() else 15
        return self.agree(max(9, min(bits, 15)), offer.flag("sum"))


@caught_by("test_malformed_values_raise_nothing_but_negotiation_errors")
class IntOfAnything(Pack):
    """Reads a number with int()."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return self.agree(max(9, min(int(offer.get("bits") or 15), 15)), offer.flag("sum"))


@caught_by("test_every_client_with_every_server")
class ForgetsItsAnswer(Pack):
    """Answers one thing and does another."""

    def agree(self, bits: int, checksum: bool) -> Agreement | Declined:
        return Agreement(self.codec(6, bits, False), Params(bits=bits, sum=checksum))  # type: ignore[arg-type]


@caught_by("test_every_negotiation_makes_a_codec_of_its_own")
class OneCodec(Pack):
    """One codec for all connections."""

    def setup(self) -> None:
        self.only = PackCodec(6, 15, False)

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Agreement(self.only)

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.only


@caught_by("test_only_wire_options_reach_a_header")
class LeaksOptions(Pack):
    """Puts a local option into its offers."""

    def offers(self) -> Sequence[Params]:
        return [Params(level=self.options.level)]


@caught_by("test_its_own_offers_are_accepted")
class DeclinesItself(Pack):
    """Declines everything."""

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        return Declined("no")


class Undocumented(Pack):
    name: ClassVar[str] = "x-undocumented"


Undocumented.__doc__ = None
caught_by("test_it_is_described")(Undocumented)


@caught_by("test_name_is_a_token")
class BadName(Pack):
    """A name that cannot stand in a header."""

    name: ClassVar[str] = "x pack"


@caught_by("test_its_hooks_are_known")
class TypoInTheHook(Interceptor):
    """A hook that nobody calls."""

    name: ClassVar[str] = "typo"

    @hookimpl
    def wsext_frame_recieved(self, frame: Frame) -> None:
        """Never called."""


@caught_by("test_no_frame_makes_it_raise")
class TrustsText(Interceptor):
    """Takes every payload for UTF-8."""

    name: ClassVar[str] = "trusting"

    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> None:
        bytes(frame.payload).decode()


def test_there_are_enough_mutants() -> None:
    assert len({kind for kind, _, _ in MUTANTS}) >= 15


@pytest.fixture
def unshrunk() -> Iterator[None]:
    """Failures as they are found: making them small takes most of the time."""
    before = settings.get_current_profile_name()
    settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("unshrunk")
    yield
    settings.load_profile(before)


@pytest.mark.usefixtures("unshrunk")
@pytest.mark.parametrize(
    ("kind", "case", "attributes"), MUTANTS, ids=[f"{k.__doc__}"[:40] for k, _, _ in MUTANTS]
)
def test_every_mutant_is_caught_by_the_case_meant_for_it(
    kind: Any, case: str, attributes: dict[str, Any]
) -> None:
    suite = suite_for(kind, **attributes)
    results = {item.name: item for item in run(_only(suite, case))}
    assert results[case].outcome is Outcome.FAILED, results[case]
    assert results[case].detail


def _only(suite: type[Any], case: str) -> type[Any]:
    class Only:
        pass

    def test(self: Any) -> None:
        getattr(suite(), case)()

    setattr(Only, case, test)
    return Only


def test_every_case_says_what_it_demands() -> None:
    for kind in (Pack, FrameLog):
        for name, title in cases(suite_for(kind)):
            assert len(title) > 20, name
