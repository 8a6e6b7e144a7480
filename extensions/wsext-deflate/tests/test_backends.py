"""What the libraries have to agree on, and which of them is picked."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from wsext_deflate import DeflateCodec, PermessageDeflate, backends
from wsext_deflate.backends import deflater, installed, pick_deflater, pick_inflater
from wsext_deflate.codec import LiveCompressors, Settings

from wsext import RSV, Frame, OptionError, RemoteProtocolError

from .conftest import BACKENDS

words = st.lists(st.sampled_from([b"open", b"price", b"1.0001", b"7", b"\x00" * 40]), max_size=60)
payloads = st.one_of(words.map(b", ".join), st.binary(max_size=300), words.map(b"".join))


class Peer:
    """Decodes as an independent implementation does, with the stdlib or with websockets."""

    def __init__(self, bits: int, theirs: bool) -> None:
        self.inflate = zlib.decompressobj(-max(bits, 9))
        self.theirs = PerMessageDeflate(False, False, max(bits, 9), 12) if theirs else None

    def read(self, frame: Frame) -> bytes:
        payload = bytes(frame.payload)
        if self.theirs is None:
            return self.inflate.decompress(payload + b"\x00\x00\xff\xff")
        got = self.theirs.decode(
            TheirFrame(Opcode(frame.opcode), payload, frame.fin, bool(frame.rsv & RSV.RSV1))
        )
        return bytes(got.data)


@given(
    messages=st.lists(payloads, max_size=5),
    level=st.integers(0, 9),
    mem_level=st.integers(1, 9),
    bits=st.integers(8, 15),
    reset=st.booleans(),
    strategy=st.integers(0, 4),
)
def test_every_backend_reads_what_every_other_has_written(
    backend: str, messages: list[bytes], **agreed: Any
) -> None:
    bits, reset = agreed.pop("bits"), agreed.pop("reset")
    sender = DeflateCodec(Settings(backend=backend, own_bits=bits, own_reset=reset, **agreed))
    readers = [
        DeflateCodec(Settings(backend=name, peer_bits=bits, peer_reset=reset)) for name in BACKENDS
    ]
    stdlib = Peer(bits, theirs=False)
    for message in messages:
        frame = sender.encode(Frame(2, message))
        for reader in readers:
            got = reader.decode(frame, len(message))
            assert isinstance(got, Frame)
            assert got.payload == message
        assert stdlib.read(frame) == message


# --- compressors that come and go -------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.integers(0, 3),  # who sends
        st.sampled_from(["own", "own", "shared", "streamed"]),
        payloads,
    ),
    max_size=14,
)


@pytest.mark.parametrize("theirs", [False, True], ids=["stdlib", "websockets"])
@settings(max_examples=40)
@given(steps=steps, limit=st.integers(0, 4), bits=st.integers(8, 15), reset=st.booleans())
def test_own_and_shared_messages_decode_in_any_order(
    backend: str, theirs: bool, steps: Any, limit: int, bits: int, reset: bool
) -> None:
    """Four connections, fewer compressors, and broadcasts between their own messages."""
    live = LiveCompressors(limit)
    agreed = Settings(backend=backend, own_bits=bits, own_reset=reset, history=min(1 << bits, 4096))
    codecs = [DeflateCodec(agreed, live) for _ in range(4)]
    peers = [Peer(bits, theirs) for _ in codecs]
    for who, kind, message in steps:
        if kind == "shared":
            frame = codecs[who].encode_shared(Frame(2, message))
            for codec, peer in zip(codecs, peers, strict=True):
                codec.skip_shared()
                assert peer.read(frame) == message
            continue
        middle = len(message) // 2 if kind == "streamed" else len(message)
        parts = [Frame(2, message[:middle], middle == len(message))]
        if not parts[0].fin:
            parts.append(Frame(0, message[middle:]))
        sent = [codecs[who].encode(part) for part in parts]
        if theirs:
            assert b"".join(peers[who].read(part) for part in sent) == message
        else:
            whole = b"".join(bytes(part.payload) for part in sent)
            assert peers[who].read(Frame(2, whole)) == message
        assert len(live) <= limit
    for codec in codecs:
        codec.close()
    assert len(live) == 0


@given(before=st.lists(payloads, max_size=4), message=payloads, level=st.integers(1, 9))
def test_what_is_shared_does_not_depend_on_what_was_sent(
    backend: str, before: list[bytes], message: bytes, level: int
) -> None:
    agreed = Settings(backend=backend, level=level)
    one, other = DeflateCodec(agreed), DeflateCodec(Settings(backend=backend, level=level))
    assert one.share_key == other.share_key
    for item in before:
        one.encode(Frame(1, item))
        one.encode_shared(Frame(1, item))
    shared = [codec.encode_shared(Frame(1, message)) for codec in (one, other)]
    assert shared[0] == shared[1]
    alone = DeflateCodec(Settings(backend=backend, level=level, own_reset=True))
    assert alone.share_key == one.share_key
    assert alone.encode(Frame(1, message)) == shared[0]


@pytest.mark.parametrize("other", [{"level": 9}, {"own_bits": 9}, {"threshold": 1}])
def test_other_settings_have_another_share_key(backend: str, other: dict[str, int]) -> None:
    key = DeflateCodec(Settings(backend=backend)).share_key
    assert DeflateCodec(Settings(backend=backend, **other)).share_key != key


def test_a_context_survives_the_loss_of_its_compressor(codec: Callable[..., DeflateCodec]) -> None:
    live = LiveCompressors(1)
    first, second = codec(live, own_bits=15), codec(live, own_bits=15)
    data = random.Random(1).randbytes(500)
    assert len(first.encode(Frame(2, data)).payload) > 500
    second.encode(Frame(2, data))
    assert len(first.encode(Frame(2, data)).payload) < 50


def test_what_one_connection_sent_is_out_of_reach_of_another(
    codec: Callable[..., DeflateCodec],
) -> None:
    """A used compressor that serves another connection refers to nothing from before."""
    secret = random.Random(2).randbytes(400)
    live = LiveCompressors(0)
    for reset in (False, True):
        codec(live, own_reset=reset).encode(Frame(2, secret))
        other = codec(live, own_reset=reset).encode(Frame(2, secret))
        assert len(other.payload) > 400
        assert Peer(15, theirs=False).read(other) == secret


# --- limits -----------------------------------------------------------------------------------


def test_a_bomb_costs_no_more_memory_than_the_limit(codec: Callable[..., DeflateCodec]) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    final = zlib.compress(bytes(20_000_000), 1, wbits=-15)
    for payload in (bomb[:-4], final, b"\x03\x00" + final):
        receiver = codec()
        tracemalloc.start()
        try:
            with pytest.raises(RemoteProtocolError) as caught:
                receiver.decode(Frame(2, payload, True, RSV.RSV1), 100_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert caught.value.code == 1009
        assert peak < 1_000_000


# --- the choice -------------------------------------------------------------------------------


@pytest.fixture
def only() -> Iterator[Callable[..., None]]:
    """Makes it seem that no other libraries are installed."""
    real = dict(backends.BACKENDS)

    def hide(*names: str) -> None:
        for name in real:
            if name != "zlib":
                backends.BACKENDS[name] = real[name] if name in names else "not_installed_anywhere"
        _forget_choices()

    yield hide
    backends.BACKENDS.update(real)
    _forget_choices()


def _forget_choices() -> None:
    for cached in (installed, deflater, backends.inflater):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("names", "level", "compresses", "decompresses"),
    [
        ((), 6, "zlib", "zlib"),
        (("zlib-ng",), 6, "zlib-ng", "zlib-ng"),
        (("isal",), 6, "isal", "zlib"),
        (("isal",), 9, "zlib", "zlib"),
        (("isal", "zlib-ng"), 6, "isal", "zlib-ng"),
        (("isal", "zlib-ng"), 9, "zlib-ng", "zlib-ng"),
        (("isal", "zlib-ng"), 0, "zlib", "zlib-ng"),
    ],
)
@pytest.mark.skipif(len(BACKENDS) < 3, reason="needs all of the optional libraries")
def test_what_auto_picks(
    only: Callable[..., None], names: Any, level: int, compresses: str, decompresses: str
) -> None:
    only(*names)
    assert pick_deflater("auto", level, 0, 15).name == compresses
    assert pick_inflater("auto", 15).name == decompresses


def test_what_a_library_cannot_do_is_left_to_zlib() -> None:
    assert pick_deflater("isal", 6, zlib.Z_RLE, 15).name == "zlib"
    assert pick_deflater("isal", 6, zlib.Z_DEFAULT_STRATEGY, 8).name == "zlib"
    assert pick_deflater("zlib-ng", 0, zlib.Z_DEFAULT_STRATEGY, 15).name == "zlib"
    assert pick_inflater("isal", 10).name == "zlib"


def test_a_backend_that_is_not_installed_is_a_wrong_option(only: Callable[..., None]) -> None:
    only()
    with pytest.raises(OptionError, match=r"backend: not installed: .*wsext-deflate\[isal\]"):
        PermessageDeflate(backend="isal")
    assert PermessageDeflate().memory_estimate() > 0
    with pytest.raises(OptionError, match="backend"):
        PermessageDeflate(backend="isla")
