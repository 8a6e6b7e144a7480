"""Right extensions, and what is needed to make wrong ones of them that a case has to catch."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytest

from wsext import (
    RSV,
    Agreement,
    Codec,
    Declined,
    Extension,
    Frame,
    MessageCodec,
    NegotiationContext,
    OptionSet,
    Params,
    RemoteProtocolError,
    local,
    wire,
)
from wsext.testing.suite import Outcome, run, suite_for

__all__ = [
    "KINDS",
    "ContextCodec",
    "DeltaCodec",
    "Guard",
    "GuardCodec",
    "MandatoryCodec",
    "Mutants",
    "Pack",
    "PackCodec",
    "with_codec",
]


class PackOptions(OptionSet):
    """What `Pack` negotiates."""

    level: Annotated[int, local("zlib level", ge=1, le=9)] = 6
    bits: Annotated[int, wire("window bits", ge=9, le=15)] = 15
    sum: Annotated[bool, wire("a checksum at the end")] = False
    threshold: Annotated[int, local("shorter messages stay as they are", ge=0)] = 0


class PackCodec(MessageCodec):
    """Compresses every message on its own, optionally with a checksum."""

    def __init__(self, options: PackOptions, bits: int, checksum: bool) -> None:
        super().__init__()
        self.options, self.bits, self.checksum = options, bits, checksum
        self.mandatory = checksum

    @property
    def share_key(self) -> Hashable | None:
        return self.options, self.bits, self.checksum

    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool:
        return len(frame.payload) >= self.options.threshold or not frame.fin

    def encoded_bound(self, size: int) -> int:
        return size + size // 8 + 1024

    def encode_message(self, data: bytes) -> bytes:
        packer = zlib.compressobj(self.options.level, zlib.DEFLATED, -self.bits)
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


class ContextCodec(PackCodec):
    """Compresses with what came before as context."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.packer, self.unpacker = self.new_packer(), zlib.decompressobj(-self.bits)

    def new_packer(self) -> Any:
        return zlib.compressobj(self.options.level, zlib.DEFLATED, -self.bits)

    def encode_message(self, data: bytes) -> bytes:
        return bytes(self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH))

    def decode_message(self, data: bytes, budget: int) -> bytes:
        try:
            out = self.unpacker.decompress(data, budget + 1)
        except zlib.error:
            raise RemoteProtocolError(1007, "corrupt") from None
        if len(out) > budget:
            raise RemoteProtocolError(1009, "too large")
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
        codec = self.codec(self.options, bits, checksum)
        return Agreement(codec, Params(bits=bits, sum=checksum))  # type: ignore[arg-type]

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self.options, answer.integer("bits", 9, 15) or 15, answer.flag("sum"))


class DeltaCodec(MessageCodec):
    """Sends what is new since the last message: a codec with a history on both sides."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.sent = self.received = b""

    def encode_message(self, data: bytes) -> bytes | None:
        pairs = enumerate(zip(self.sent[:65_535], data, strict=False))
        shorter = min(len(self.sent[:65_535]), len(data))
        kept = next((at for at, (one, other) in pairs if one != other), shorter)
        self.sent = data
        return kept.to_bytes(2, "big") + data[kept:]

    def decode_message(self, data: bytes, budget: int) -> bytes:
        kept = int.from_bytes(data[:2], "big")
        if len(data) < 2 or kept > len(self.received):
            raise RemoteProtocolError(1007, "refers to what never came")
        self.received = self.received[:kept] + data[2:]
        return self.received


class GuardCodec(MessageCodec):
    """A keyed digest over the session, the direction, the number and the data of each message."""

    def __init__(self, session: bytes, here: bytes, there: bytes) -> None:
        super().__init__()
        self.session, self.here, self.there = session, here, there
        self.sent = self.received = 0

    def digest(self, side: bytes, number: int, data: bytes) -> bytes:
        covered = self.session + side + number.to_bytes(8, "big") + data
        return hashlib.blake2b(covered, key=b"secret", digest_size=16).digest()

    def encode_message(self, data: bytes) -> bytes:
        self.sent += 1
        return self.digest(self.here, self.sent, data) + data

    def decode_message(self, data: bytes, budget: int) -> bytes:
        self.received += 1
        if data[:16] != self.digest(self.there, self.received, data[16:]):
            raise RemoteProtocolError(1002, "not authentic")
        return data[16:]


class Guard(Extension):
    """Right integrity, with a bit that is mandatory."""

    name: ClassVar[str] = "x-guard"
    rsv: ClassVar[RSV] = RSV.RSV3
    extra_wire_params: ClassVar[frozenset[str]] = frozenset({"nonce"})
    codec: ClassVar[Callable[..., Codec]] = GuardCodec

    def offers(self) -> Sequence[Params]:
        return [Params(nonce=secrets.token_hex(8))]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        own = secrets.token_hex(8)
        codec = self.codec(f"{offer.text('nonce')}{own}".encode(), b"server", b"client")
        return Agreement(codec, Params(nonce=own))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        session = f"{offers[0]['nonce']}{answer.text('nonce')}".encode()
        return self.codec(session, b"client", b"server")


class MandatoryCodec(GuardCodec):
    """Refuses what is not marked."""

    def decode(self, frame: Frame, budget: int) -> Any:
        if frame.opcode in (1, 2) and not frame.rsv & self.rsv:
            raise RemoteProtocolError(1002, "unmarked")
        return super().decode(frame, budget)


#: Which messages a codec takes: a fault may show with text only, or with binary only.
KINDS: Mapping[str, tuple[int, ...]] = {"text": (1,), "binary": (2,), "text and binary": (1, 2)}


def with_codec(
    codec: Callable[..., Codec], kind: str = "text and binary", base: type[Extension] = Pack
) -> type[Extension]:
    """An extension with another codec, which takes only messages of one kind."""

    def make(*arguments: Any) -> Codec:
        made = codec(*arguments)
        inner = made.wants
        if len(KINDS[kind]) == 1:
            # Set on the instance: the class is the one that the author has written.
            made.wants = lambda frame, hints: (  # type: ignore[method-assign]
                frame.opcode in KINDS[kind] and inner(frame, hints)
            )
        return made

    name = getattr(codec, "__name__", "Mutant")
    doc = f"{codec.__doc__} ({kind})"
    return type(name, (base,), {"codec": staticmethod(make), "__doc__": doc})


class Mutants(list[tuple[Any, str, dict[str, Any]]]):
    """What is wrong, the case that is meant for it, and attributes of its suite."""

    def caught_by(self, case: str, **attributes: Any) -> Callable[[Any], Any]:
        """The case that is meant for an extension."""

        def register(kind: Any) -> Any:
            self.append((kind, case, attributes))
            return kind

        return register

    def codec(
        self,
        case: str,
        *kinds: str,
        base: type[Extension] = Pack,
        **attributes: Any,
    ) -> Callable[[Any], Any]:
        """The case that is meant for a codec, whichever kind of messages it takes."""

        def register(codec: Any) -> Any:
            for kind in kinds or KINDS:
                self.append((with_codec(codec, kind, base), case, attributes))
            return codec

        return register

    def as_test(self) -> Any:
        """A test of each of them: the case fails for it, and says why."""
        ids = [f"{getattr(k, '__name__', type(k).__name__)}: {k.__doc__}" for k, _, _ in self]

        @pytest.mark.parametrize(("kind", "case", "attributes"), self, ids=ids)
        def test_mutant(kind: Any, case: str, attributes: dict[str, Any]) -> None:
            suite = suite_for(kind, **attributes)

            def test(self: Any) -> None:
                getattr(suite(), case)()

            (result,) = run(type("Only", (), {case: test}))
            assert result.outcome is Outcome.FAILED, result
            assert result.detail

        return test_mutant
