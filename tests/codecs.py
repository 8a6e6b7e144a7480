"""Extensions whose codecs a test can watch, hold up and break.

What a codec sees is counted on its extension, so a test keeps the extension that it installs.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, ClassVar

from wsext import (
    CloseCode,
    Codec,
    Extension,
    Frame,
    MessageCodec,
    NegotiationContext,
    Params,
    Phase,
    RemoteProtocolError,
)

__all__ = [
    "AsyncBroken",
    "AsyncCancelled",
    "AsyncInflate",
    "Broken",
    "Cancelled",
    "ClosesLater",
    "Counting",
    "CountingCodec",
    "Gated",
    "History",
    "Hung",
    "deflated",
]


def deflated(data: bytes) -> bytes:
    """A message as permessage-deflate sends it, on its own (RFC 7692 §7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class _HistoryCodec(MessageCodec):
    def __init__(self) -> None:
        super().__init__()
        self.sent = self.received = 0

    def encode_message(self, data: bytes) -> bytes:
        encoded = _mask(data, self.sent)
        self.sent = zlib.crc32(data, self.sent)
        return encoded

    def decode_message(self, data: bytes, budget: int) -> bytes:
        decoded = _mask(data, self.received)
        self.received = zlib.crc32(decoded, self.received)
        return decoded


def _mask(data: bytes, number: int) -> bytes:
    key = number.to_bytes(4, "big")
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


class History(Extension):
    """Masks every message with a sum of all that went before: without one, the next come wrong."""

    name: ClassVar[str] = "x-history"
    phase: ClassVar[Phase] = Phase.COMPRESSION

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _HistoryCodec()


class _GatedCodec(MessageCodec):
    def __init__(self, extension: Gated) -> None:
        super().__init__()
        self.extension = extension

    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        extension = self.extension
        extension.encoding.set()
        await extension.may_encode.wait()
        extension.encoded += 1
        return data

    async def decode_message(self, data: bytes, budget: int) -> bytes:  # type: ignore[override]
        await self.extension.may_decode.wait()
        self.extension.decoded += 1
        return data


class Gated(Extension):
    """An asynchronous codec that changes nothing, and waits while a test has shut a gate.

    Attributes:
        may_encode, may_decode: The gates; both are open at first.
        encoding: Set when a message has come to the encoder.
        encoded, decoded: How many messages have passed.
    """

    name: ClassVar[str] = "x-gated"
    phase: ClassVar[Phase] = Phase.WIRE

    def setup(self) -> None:
        self.may_encode = asyncio.Event()
        self.may_decode = asyncio.Event()
        self.encoding = asyncio.Event()
        self.may_encode.set()
        self.may_decode.set()
        self.encoded = self.decoded = 0

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _GatedCodec(self)


class CountingCodec(Codec):
    """Changes nothing, and is counted on its extension.

    Attributes:
        key: The share key.
    """

    key: Any = "all the same"

    def __init__(self, extension: Counting) -> None:
        self.extension = extension
        extension.made += 1

    @property
    def share_key(self) -> Any:
        return self.key

    def encode(self, frame: Frame) -> Frame:
        self.extension.encoded += 1
        return frame

    def decode(self, frame: Frame, budget: int) -> Frame:
        self.extension.decoded += 1
        return frame

    def close(self) -> None:
        self.extension.closed += 1


class Counting(Extension):
    """A synchronous codec that changes nothing and counts.

    Attributes:
        codec: Its class.
        made, closed: How many codecs.
        encoded, decoded: How many frames; one that is shared is encoded once.
    """

    name: ClassVar[str] = "x-counting"
    codec: ClassVar[type[CountingCodec]] = CountingCodec
    made = closed = encoded = decoded = 0

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return self.codec(self)


class _AsyncInflateCodec(MessageCodec):
    async def decode_message(self, data: bytes, budget: int) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        inflater = zlib.decompressobj(-15)
        out = inflater.decompress(data + b"\0\0\xff\xff", budget + 1)
        if len(out) > budget:
            raise RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, "too large when decompressed")
        return out

    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return deflated(data)


class AsyncInflate(Extension):
    """Compresses every message on its own, asynchronously."""

    name: ClassVar[str] = "x-async-inflate"
    phase: ClassVar[Phase] = Phase.COMPRESSION

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _AsyncInflateCodec()


class _CancelledCodec(Codec):
    def decode(self, frame: Frame, budget: int) -> Frame:
        raise asyncio.CancelledError


class Cancelled(Extension):
    """Its `decode` ends as if somebody had cancelled it."""

    name: ClassVar[str] = "x-cancelled"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _CancelledCodec()


class _AsyncCancelledCodec(Codec):
    async def decode(self, frame: Frame, budget: int) -> Frame:  # type: ignore[override]
        raise asyncio.CancelledError


class AsyncCancelled(Extension):
    """The same, asynchronous."""

    name: ClassVar[str] = "x-async-cancelled"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _AsyncCancelledCodec()


class _BrokenCodec(Codec):
    def encode(self, frame: Frame) -> Frame:
        raise RuntimeError("this codec is broken")


class Broken(Extension):
    """Its `encode` raises."""

    name: ClassVar[str] = "x-broken"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _BrokenCodec()


class _AsyncBrokenCodec(Codec):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        await asyncio.sleep(0)
        raise self.error("this codec is broken")


class AsyncBroken(Extension):
    """Its asynchronous `encode` raises.

    Attributes:
        error: What.
    """

    name: ClassVar[str] = "x-async-broken"
    error: type[BaseException] = RuntimeError

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _AsyncBrokenCodec(self.error)


class _HungCodec(Codec):
    def __init__(self, extension: Hung) -> None:
        self.extension = extension

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        self.extension.encoding.set()
        while not self.extension.may_end.is_set():
            try:
                await self.extension.may_end.wait()
            except asyncio.CancelledError:
                self.extension.cancelled.set()
        return frame


class Hung(Extension):
    """Its asynchronous `encode` ends when a test says so, also if it is cancelled.

    Attributes:
        encoding: Set when a frame has come to it.
        cancelled: Set when it was cancelled, and went on.
        may_end: The test's.
    """

    name: ClassVar[str] = "x-hung"

    def setup(self) -> None:
        self.encoding = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.may_end = asyncio.Event()

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _HungCodec(self)


class _ClosesLater(Codec):
    def __init__(self, extension: ClosesLater) -> None:
        self.extension = extension

    async def close(self) -> None:
        extension = self.extension
        extension.begun += 1
        if extension.hangs:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.01)
        extension.closed += 1


class ClosesLater(Extension):
    """Its codec is synchronous, and takes a moment to close.

    Attributes:
        hangs: Whether it takes for ever.
        begun, closed: How many codecs were closed, and how many to the end.
    """

    name: ClassVar[str] = "x-closes-later"
    hangs = False
    begun = closed = 0

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _ClosesLater(self)
