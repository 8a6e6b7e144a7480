"""Codecs: a hostile peer's bytes end in a close code, an honest one's come back."""

from __future__ import annotations

from wsext_brotli import BrotliCodec
from wsext_brotli import Settings as BrotliSettings
from wsext_deflate.backends import installed as backend_installed
from wsext_deflate.codec import DeflateCodec, LiveCompressors, Settings
from wsext_meta import MetaCodec, pack, unpack
from wsext_seal import SealCodec
from wsext_zstd.codec import Settings as ZstdSettings
from wsext_zstd.codec import ZstdCodec

from tests.fuzz.source import Source
from wsext import RSV, Codec, Frame, NegotiationContext, RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage

__all__ = ["brotli", "deflate", "meta", "seal", "zstd"]

_BACKENDS = [name for name in ("zlib", "zlib-ng", "isal") if backend_installed(name) is not None]
_LIVE = LiveCompressors(2)


def deflate(data: bytes) -> None:
    """Compressed messages: hostile ones end in 1007 or 1009 within the limit, on every backend;
    honest ones come back as they were, however they are fragmented."""
    source = Source(data)
    choice, budget = source.byte(), 1 + 16 * source.byte()
    chunks = list(source.cuts())
    for backend in _BACKENDS:
        settings = Settings(
            backend=backend,
            own_bits=9 + choice % 7,
            peer_bits=9 + choice % 7,
            own_reset=bool(choice & 8),
            peer_reset=bool(choice & 16),
        )
        _decode_hostile(DeflateCodec(settings, _LIVE), chunks, budget)
        _round_trip(DeflateCodec(settings, _LIVE), DeflateCodec(settings, _LIVE), chunks)


def _decode_hostile(codec: Codec, chunks: list[bytes], limit: int, rsv: RSV = RSV.RSV1) -> None:
    stage = Stage("hostile", codec, rsv)
    pipeline = Pipeline([stage], max_message_size=limit)
    last = len(chunks) - 1
    size = 0
    try:
        for number, chunk in enumerate(chunks):
            first = 0 if number else 1
            frame = Frame(first, chunk, number == last, 0 if number else rsv)
            for out in pipeline.decode(frame):
                size += len(out.payload)
                assert out.rsv == 0
            assert size <= limit
    except RemoteProtocolError as error:
        assert error.code in (CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG), error
    finally:
        pipeline.close()


def _round_trip(here: Codec, there: Codec, chunks: list[bytes]) -> None:
    last = len(chunks) - 1
    try:
        for number, chunk in enumerate(chunks):
            frame = Frame(0 if number else 2, chunk, number == last)
            got = there.decode(here.encode(frame), 1 << 20)
            assert isinstance(got, Frame)
            assert bytes(got.payload) == chunk
    finally:
        here.close()
        there.close()


# --- permessage-zstd --------------------------------------------------------------------------


def zstd(data: bytes) -> None:
    """As `deflate`, with both kinds of context takeover and small windows."""
    source = Source(data)
    choice, budget = source.byte(), 1 + 16 * source.byte()
    chunks = list(source.cuts())
    settings = ZstdSettings(
        window_bits=10 + choice % 8, own_reset=bool(choice & 8), peer_reset=bool(choice & 16)
    )
    _decode_hostile(ZstdCodec(settings), chunks, budget)
    both = ZstdSettings(own_reset=settings.own_reset, peer_reset=settings.own_reset)
    _round_trip(ZstdCodec(both), ZstdCodec(both), chunks)


# --- permessage-brotli ------------------------------------------------------------------------


def brotli(data: bytes) -> None:
    """As `deflate`, with both kinds of context takeover and small windows."""
    source = Source(data)
    choice, budget = source.byte(), 1 + 16 * source.byte()
    chunks = list(source.cuts())
    bits, reset = 10 + choice % 8, bool(choice & 8)
    settings = BrotliSettings(peer_bits=bits, peer_reset=bool(choice & 16))
    _decode_hostile(BrotliCodec(settings), chunks, budget)
    both = BrotliSettings(choice % 6, bits, bits, own_reset=reset, peer_reset=reset)
    _round_trip(BrotliCodec(both), BrotliCodec(both), chunks)


# --- permessage-meta --------------------------------------------------------------------------


def meta(data: bytes) -> None:
    """Envelopes: hostile ones end in 1007 or 1009, what can be read is written and read alike."""
    source = Source(data)
    max_size, budget = 1 + 8 * source.byte(), 1 + 16 * source.byte()
    chunks = list(source.cuts())
    _decode_hostile(_meta_codec(max_size), chunks, budget, RSV.RSV2)
    try:
        found = unpack(b"".join(chunks))
    except ValueError:
        return
    sent = Frame(1, b"said", meta=found)
    got = _meta_codec(1 << 16).decode(_meta_codec(1 << 16).encode(sent), 1 << 20)
    assert isinstance(got, Frame)
    assert bytes(got.payload) == b"said"
    assert pack(got.meta or {}) == pack(found)


def _meta_codec(max_size: int) -> MetaCodec:
    codec = MetaCodec(max_size)
    codec.rsv = RSV.RSV2
    return codec


# --- permessage-seal --------------------------------------------------------------------------


def seal(data: bytes) -> None:
    """Sealed messages: what nobody has sealed, and what was changed or cut off afterwards, ends in
    1002; honest ones come back, however they are fragmented."""
    source = Source(data)
    rekey_after, at, change = 1 + source.byte() % 4, source.byte(), source.byte()
    chunks = list(source.cuts()) or [b""]
    _refuses(_seal_codec("server", rekey_after), chunks)
    here, there = _seal_codec("client", rekey_after), _seal_codec("server", rekey_after)
    last = len(chunks) - 1
    for number, chunk in enumerate(chunks):
        sealed = here.encode(Frame(0 if number else 2, chunk, number == last))
    assert isinstance(sealed, Frame)
    wire = bytes(sealed.payload)
    at %= len(wire)
    forged = wire[:at] + bytes([wire[at] ^ change]) + wire[at + 1 :] if change else wire[:at]
    _refuses(_seal_codec("server", rekey_after), [forged])
    opened = there.decode(sealed, 1 << 20)
    assert isinstance(opened, Frame)
    assert bytes(opened.payload) == b"".join(chunks)
    _refuses(there, [wire])


def _refuses(codec: Codec, chunks: list[bytes]) -> None:
    pipeline = Pipeline([Stage("sealed", codec, RSV.NONE)], max_message_size=1 << 16)
    last = len(chunks) - 1
    try:
        for number, chunk in enumerate(chunks):
            assert not pipeline.decode(Frame(0 if number else 2, chunk, number == last))
    except RemoteProtocolError as error:
        assert error.code == CloseCode.PROTOCOL_ERROR, error
        return
    raise AssertionError("a message was taken that nobody has sealed")


def _seal_codec(role: str, rekey_after: int) -> Codec:
    return SealCodec(NegotiationContext(role, 1 << 16, None, bytes(32)), bytes(32), rekey_after)
