"""A right extension, and what is needed to make wrong ones of it that a case has to catch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from hypothesis import Phase, settings

from wsext import (
    RSV,
    Agreement,
    Codec,
    Declined,
    Extension,
    MessageCodec,
    NegotiationContext,
    OptionSet,
    Params,
    RemoteProtocolError,
    local,
    wire,
)
from wsext.testing.suite import Outcome, run, suite_for

__all__ = ["Mutants", "Pack", "PackCodec", "check_caught", "with_codec"]


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


def with_codec(codec: Callable[..., Codec]) -> type[Pack]:
    return type("Mutant", (Pack,), {"codec": staticmethod(codec), "__doc__": "A mutant."})


class Mutants(list[tuple[Any, str, dict[str, Any]]]):
    """What is wrong, the case that is meant for it, and attributes of its suite."""

    def caught_by(self, case: str, **attributes: Any) -> Callable[[Any], Any]:
        """The case that is meant for a mutant."""

        def register(kind: Any) -> Any:
            self.append((kind, case, attributes))
            return kind

        return register

    @property
    def ids(self) -> list[str]:
        """What is wrong with each, for pytest."""
        return [f"{kind.__doc__}"[:40] for kind, _, _ in self]


@contextmanager
def unshrunk() -> Iterator[None]:
    """Failures as they are found: making them small takes most of the time."""
    before = settings.get_current_profile_name()
    settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("unshrunk")
    try:
        yield
    finally:
        settings.load_profile(before)


def check_caught(kind: Any, case: str, attributes: dict[str, Any]) -> None:
    """Check that a case fails for a mutant, and says why."""
    suite = suite_for(kind, **attributes)

    def test(self: Any) -> None:
        getattr(suite(), case)()

    with unshrunk():
        (result,) = run(type("Only", (), {case: test}))
    assert result.outcome is Outcome.FAILED, result
    assert result.detail
