"""Small extensions that the tests negotiate and stack."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

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
    Phase,
    RemoteProtocolError,
    SealedCodec,
    SealedExtension,
    in_code,
    local,
    wire,
)


class _Append(MessageCodec):
    def __init__(self, suffix: bytes) -> None:
        super().__init__()
        self.suffix = suffix
        self.closed = 0

    def encode_message(self, data: bytes) -> bytes:
        return data + self.suffix

    def decode_message(self, data: bytes, budget: int) -> bytes:
        if not data.endswith(self.suffix):
            raise RemoteProtocolError(1007, "the suffix is missing")
        return data[: -len(self.suffix)]

    def close(self) -> None:
        self.closed += 1


class _Reverse(MessageCodec):
    def encode_message(self, data: bytes) -> bytes:
        return data[::-1]

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return data[::-1]


class AppendOptions(OptionSet):
    """What `Append` appends."""

    suffix: Annotated[str, wire("appended to every message", min_length=1)] = "end"
    note: Annotated[str, local("stays here")] = ""


class Append(Extension):
    """Appends a suffix that both sides agree on."""

    name: ClassVar[str] = "x-append"
    rsv: ClassVar[RSV] = RSV.RSV2
    Options: ClassVar[type[OptionSet]] = AppendOptions
    options: AppendOptions

    def offers(self) -> Sequence[Params]:
        return [Params(suffix=self.options.suffix), Params()]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        suffix = offer.text("suffix") or self.options.suffix
        if suffix == "forbidden":
            return Declined("that suffix is forbidden")
        return Agreement(_Append(suffix.encode()), Params(suffix=suffix))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return _Append((answer.text("suffix") or "end").encode())


class Reverse(Extension):
    """Reverses messages: it does not commute with `Append`."""

    name: ClassVar[str] = "x-reverse"
    rsv: ClassVar[RSV] = RSV.RSV3

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Reverse()


class _Slow(MessageCodec):
    """Later messages are ready sooner; the order has to be kept all the same."""

    turns = 20

    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.turns = max(0, self.turns - 5)
        return b"<" + data

    async def decode_message(self, data: bytes, budget: int) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return data[1:]


class Slow(Extension):
    """An asynchronous codec."""

    name: ClassVar[str] = "x-slow"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Slow()


class Asking(Extension):
    """Negotiates asynchronously.

    Attributes:
        seconds: How long each answer takes.
    """

    name: ClassVar[str] = "x-asking"
    seconds = 0.0

    async def accept(  # type: ignore[override]
        self, offer: Params, ctx: NegotiationContext
    ) -> Agreement | Declined:
        await asyncio.sleep(self.seconds)
        return Agreement(self.make_codec(offer, ctx))

    async def confirm(  # type: ignore[override]
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> Codec:
        await asyncio.sleep(self.seconds)
        return self.make_codec(answer, ctx)

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Reverse()


class _Split(Codec):
    """Sends every frame as fragments of two bytes; needs no decoder."""

    def encode(self, frame: Frame) -> list[Frame]:
        data = bytes(frame.payload)
        parts = [data[at : at + 2] for at in range(0, len(data), 2)] or [b""]
        return [
            frame.replace(
                opcode=0 if at else frame.opcode,
                payload=part,
                fin=frame.fin and at == len(parts) - 1,
                rsv=0 if at else frame.rsv,
            )
            for at, part in enumerate(parts)
        ]


class Split(Extension):
    """A frame-level codec that makes several frames of one."""

    name: ClassVar[str] = "x-split"
    phase: ClassVar[Phase] = Phase.WIRE

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Split()


class KeyedOptions(OptionSet):
    """One option that only code sets, and one that anybody may set."""

    keys: Annotated[Callable[[str], bytes], in_code("where keys come from")]
    size: Annotated[int, local("bytes of a tag", ge=4, le=32)] = 16


class Keyed(Extension):
    """Cannot be used before somebody gives it keys."""

    name: ClassVar[str] = "x-keyed"
    Options: ClassVar[type[OptionSet]] = KeyedOptions
    options: KeyedOptions


class Shy(Extension):
    """Could be used with its defaults, and says that it should not be."""

    name: ClassVar[str] = "x-shy"
    off_until_configured: ClassVar[bool] = True


class Faulty(Extension):
    """Cannot be set up."""

    name: ClassVar[str] = "x-faulty"

    def setup(self) -> None:
        raise RuntimeError("no luck")


KEY = b"a key of the tests, of 32 bytes."


class MacCodec(SealedCodec):
    """Puts a MAC behind every message."""

    def seal(self, data: bytes, context: bytes) -> Any:
        return data + hmac.digest(KEY, context + data, "sha256")

    def unseal(self, data: bytes, context: bytes) -> Any:
        body, mac = data[:-32], data[-32:]
        if not hmac.compare_digest(mac, hmac.digest(KEY, context + body, "sha256")):
            raise ValueError("wrong")
        return body


class Mac(SealedExtension):
    """Without parameters of its own, and without a bit."""

    name: ClassVar[str] = "x-mac"
    codec: ClassVar[type[SealedCodec]] = MacCodec

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(ctx)


def claiming(token: str, bits: RSV) -> type[Extension]:
    """An extension that does nothing but claim bits."""
    return codec_of(Codec, token, bits)


def codec_of(codec: type[Codec], token: str = "x-odd", bits: RSV = RSV.NONE) -> type[Extension]:
    """An extension around a codec class."""

    class Odd(Extension):
        name: ClassVar[str] = token
        rsv: ClassVar[RSV] = bits

        def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
            return codec()

    return Odd
