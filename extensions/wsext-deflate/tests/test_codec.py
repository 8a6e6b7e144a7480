"""The codec: RFC 7692's own bytes, context takeover, fragments, windows, hostile input."""

from __future__ import annotations

import gc
import random
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsext_deflate import DeflateCodec
from wsext_deflate.codec import LiveCompressors

from wsext import RSV, Frame, RemoteProtocolError

LIMIT = 1 << 20


Make: TypeAlias = "Callable[..., DeflateCodec]"


def frames(*parts: bytes, opcode: int = 1) -> list[Frame]:
    """A message in fragments."""
    return [Frame(0 if at else opcode, part, at == len(parts) - 1) for at, part in enumerate(parts)]


def decode(receiver: DeflateCodec, sent: list[Frame], budget: int = LIMIT) -> bytes:
    data = b""
    for frame in sent:
        got = receiver.decode(frame, budget - len(data))
        assert isinstance(got, Frame)
        assert not got.rsv
        data += got.payload
    return data


def compressed(text: str, opcode: int = 1, fin: bool = True) -> Frame:
    return Frame(opcode, bytes.fromhex(text), fin, RSV.RSV1 if opcode else 0)


# --- the examples of RFC 7692 §7.2.3 ----------------------------------------------------------


def test_rfc_example_one_compressed_block(codec: Make) -> None:
    """§7.2.3.1."""
    assert decode(codec(), [compressed("f248cdc9c90700")]) == b"Hello"
    frame = codec(own_bits=15, mem_level=8).encode(Frame(1, b"Hello"))
    assert bytes(frame.payload).hex() == "f248cdc9c90700"
    assert frame.rsv == RSV.RSV1


def test_rfc_example_in_two_fragments(codec: Make) -> None:
    """§7.2.3.1, fragmented: RSV1 stands on the first frame only."""
    sent = [compressed("f248cd", fin=False), compressed("c9c90700", opcode=0)]
    assert decode(codec(), sent) == b"Hello"


def test_rfc_example_sharing_the_window(codec: Make) -> None:
    """§7.2.3.2: the second "Hello" refers to the first."""
    receiver = codec()
    assert decode(receiver, [compressed("f248cdc9c90700")]) == b"Hello"
    assert decode(receiver, [compressed("f200110000")]) == b"Hello"
    sender = codec(own_bits=15, mem_level=8)
    sent = [bytes(sender.encode(Frame(1, b"Hello")).payload).hex() for _ in range(2)]
    assert sent[0] == "f248cdc9c90700"
    assert sent[1] in ("f200110000", "02130000")  # ISA-L refers to all of "Hello" at once


def test_rfc_example_without_compression(codec: Make) -> None:
    """§7.2.3.3."""
    assert decode(codec(), [compressed("000500faff48656c6c6f00")]) == b"Hello"


def test_rfc_example_with_bfinal(codec: Make) -> None:
    """§7.2.3.4: a final block, and the connection goes on."""
    receiver = codec()
    for _ in range(3):
        assert decode(receiver, [compressed("f348cdc9c9070000")]) == b"Hello"
    assert decode(receiver, [compressed("f248cdc9c90700")]) == b"Hello"


def test_rfc_example_of_two_blocks(codec: Make) -> None:
    """§7.2.3.5."""
    assert decode(codec(), [compressed("f24805000000ffffcac9c90700")]) == b"Hello"


def test_rfc_example_of_an_empty_message(codec: Make) -> None:
    """§7.2.3.6."""
    assert decode(codec(), [compressed("00")]) == b""
    for reset in (False, True):
        sender, receiver = codec(own_reset=reset), codec(peer_reset=reset)
        for data in (b"", b"a", b"", b"", b"b"):
            frame = sender.encode(Frame(1, data))
            assert frame.payload
            assert decode(receiver, [frame]) == data


# --- any message, any fragments, any agreement ------------------------------------------------

agreements = st.fixed_dictionaries(
    {
        "level": st.integers(0, 9),
        "mem_level": st.integers(1, 9),
        "strategy": st.integers(0, 4),
        "own_bits": st.integers(8, 15),
        "own_reset": st.booleans(),
    }
)
message = st.lists(st.binary(max_size=80), min_size=1, max_size=4)


@given(agreed=agreements, messages=st.lists(st.tuples(message, st.booleans()), max_size=6))
def test_messages_round_trip(
    codec: Make, agreed: Any, messages: list[tuple[list[bytes], bool]]
) -> None:
    sender = codec(**agreed)
    receiver = codec(peer_bits=agreed["own_bits"], peer_reset=agreed["own_reset"])
    for parts, plain in messages:
        sent = frames(*parts)
        if not plain:  # messages between that are not compressed must not disturb the context
            sent = [sender.encode(frame) for frame in sent]
            assert [frame.rsv for frame in sent] == [RSV.RSV1] + [0] * (len(sent) - 1)
        assert decode(receiver, sent) == b"".join(parts)


@pytest.mark.parametrize("bits", range(8, 16))
def test_a_decoder_with_no_more_than_the_agreed_window_follows(codec: Make, bits: int) -> None:
    noise = random.Random(7).randbytes(1 << bits)
    data = noise + noise[: 1 << (bits - 1)] + noise
    payload = bytes(codec(own_bits=bits, level=9, mem_level=9).encode(Frame(2, data)).payload)
    # zlib takes a window of 8 bits only for streams with a zlib header, so give it one.
    method = (bits - 8) << 4 | 8
    header = bytes([method, 31 - (method << 8) % 31])
    strict = zlib.decompressobj(bits)
    assert strict.decompress(header + payload + b"\x00\x00\xff\xff") == data


def test_context_takeover_pays_and_no_context_takeover_is_stateless(codec: Make) -> None:
    data = random.Random(1).randbytes(500)
    keeping, resetting = codec(own_bits=15), codec(own_bits=15, own_reset=True)
    first, second = (len(keeping.encode(Frame(2, data)).payload) for _ in range(2))
    assert second < first / 10
    again = [bytes(resetting.encode(Frame(2, data)).payload) for _ in range(2)]
    assert again[0] == again[1]


def test_fragments_are_compressed_as_they_come(codec: Make) -> None:
    sender, receiver = codec(), codec()
    for frame in frames(b"first ", b"", b"second ", b"third"):
        result = receiver.decode(sender.encode(frame), LIMIT)
        assert isinstance(result, Frame)
        assert result.payload == frame.payload  # nothing is held back until the end


def test_threshold_hints_and_predicate_decide_before_the_state_changes(codec: Make) -> None:
    small, large = Frame(1, b"x" * 99), Frame(1, b"x" * 100)
    sender = codec(threshold=100)
    assert not sender.wants(small, {})
    assert sender.wants(large, {})
    assert sender.wants(Frame(1, b"x", False), {})  # the size of a stream is not known
    assert sender.wants(small, {"compress": True})
    assert not sender.wants(large, {"compress": False})
    only_text = codec(compress_if=lambda frame: frame.opcode == 1)
    assert only_text.wants(large, {})
    assert not only_text.wants(Frame(2, b"x" * 100), {})


# --- hostile input ----------------------------------------------------------------------------


@cache
def raw(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fails(receiver: DeflateCodec, sent: list[Frame], budget: int = LIMIT) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(receiver, sent, budget)
    return caught.value.code


def test_a_bomb_stops_at_the_budget(codec: Make) -> None:
    bomb = raw(bytes(50_000_000))
    assert fails(codec(), [Frame(2, bomb, True, RSV.RSV1)]) == 1009
    halves = [Frame(2, bomb[:900], False, RSV.RSV1), Frame(0, bomb[900:])]
    assert fails(codec(), halves) == 1009
    exact = raw(bytes(1000))
    assert decode(codec(), [Frame(2, exact, True, RSV.RSV1)], 1000) == bytes(1000)
    assert fails(codec(), [Frame(2, exact, True, RSV.RSV1)], 999) == 1009


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff",
        raw(b"a longer text that is cut off in the middle")[:9],
        b"\x01\x00\x00\xff\xff" * 3000,
        b"\xf2\x48\xcd",
        b"\x06",
    ],
)
def test_corrupt_and_truncated_data_is_1007(codec: Make, payload: bytes) -> None:
    assert fails(codec(), [Frame(1, payload, True, RSV.RSV1)]) == 1007


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(codec: Make, payload: bytes) -> None:
    try:
        decode(codec(), [Frame(2, payload, True, RSV.RSV1)], 10_000)
        code = 0
    except RemoteProtocolError as error:
        code = error.code
    assert code in (0, 1007, 1009)


def test_a_distance_beyond_the_agreed_window_is_refused(codec: Make) -> None:
    noise = random.Random(3).randbytes(2000)
    sender, receiver = codec(own_bits=15), codec(peer_bits=9)
    assert decode(receiver, [sender.encode(Frame(2, noise))]) == noise
    assert fails(receiver, [sender.encode(Frame(2, noise))]) == 1007


# --- without a decompressor between messages --------------------------------------------------

words = st.lists(st.sampled_from([b"alpha ", b"beta ", b"gamma ", b"a" * 300, b"0123456789" * 90]))
spoken = st.tuples(words.map(b"".join), st.sampled_from(["whole", "halves", "final", "plain"]))


@given(bits=st.integers(9, 15), level=st.integers(1, 9), messages=st.lists(spoken, max_size=8))
def test_what_zlib_says_is_understood_with_and_without_a_decompressor_that_is_kept(
    codec: Make, bits: int, level: int, messages: list[tuple[bytes, str]]
) -> None:
    peer = zlib.compressobj(level, zlib.DEFLATED, -bits)
    receivers = [codec(LiveCompressors(places), peer_bits=bits) for places in (0, 1)]
    for data, how in messages:
        if how == "plain":  # which leaves both windows as they are
            sent = [Frame(2, data)]
        elif how == "final":
            packed = peer.compress(data) + peer.flush(zlib.Z_FINISH) + b"\0"
            sent = [Frame(2, packed, True, RSV.RSV1)]
            peer = zlib.compressobj(level, zlib.DEFLATED, -bits)
        else:
            cut = len(data) // 2 if how == "halves" else 0
            first = peer.compress(data[:cut]) + peer.flush(zlib.Z_SYNC_FLUSH)
            rest = (peer.compress(data[cut:]) + peer.flush(zlib.Z_SYNC_FLUSH))[:-4] or b"\0"
            sent = [Frame(2, first, False, RSV.RSV1), Frame(0, rest)]
        for receiver in receivers:
            assert decode(receiver, sent) == data


def test_the_first_connections_keep_their_decompressors_and_the_others_what_was_said(
    codec: Make,
) -> None:
    live = LiveCompressors(1)
    sender = codec(own_bits=12)
    data = b"".join(b"%d and " % number for number in range(100))
    frame = sender.encode(Frame(2, data))
    first, second = codec(live, peer_bits=12), codec(live, peer_bits=12)
    for receiver in (first, second):
        assert decode(receiver, [frame]) == data
    assert second.held_bytes == codec().held_bytes + len(data) < first.held_bytes
    half = sender.encode(Frame(2, data, False))
    assert decode(second, [half]) == data
    assert second.held_bytes > first.held_bytes  # in the middle of a message it needs one
    assert decode(second, [sender.encode(Frame(0, data))]) == data
    assert second.held_bytes == codec().held_bytes + 3 * len(data)
    first.close()
    third = codec(live, peer_bits=12)
    assert decode(third, [frame]) == data
    assert third.held_bytes > second.held_bytes


def test_no_more_is_kept_than_may_be_referred_to(codec: Make) -> None:
    receiver, sender = codec(LiveCompressors(0), peer_bits=9), codec(own_bits=9)
    data = random.Random(5).randbytes(1 << 16)
    for _ in range(3):
        assert decode(receiver, [sender.encode(Frame(2, data))]) == data
        assert receiver.held_bytes == codec().held_bytes + 512
    other = codec(own_bits=15)
    assert decode(codec(LiveCompressors(0), peer_bits=9), [other.encode(Frame(2, data[:2000]))])
    assert fails(receiver, [other.encode(Frame(2, data[:2000]))]) == 1007


def kept_by(codec: Any) -> int:
    """How many things with a state, and bytes, a codec keeps alive."""
    kept = gc.get_referents(codec)
    kept += [item for inner in kept if isinstance(inner, dict) for item in inner.values()]
    states = sum("compress" in type(item).__name__.lower() for item in kept)
    return states + sum(len(item) for item in kept if isinstance(item, bytes))


def test_nothing_is_allocated_before_it_is_needed_and_close_frees_it(codec: Make) -> None:
    live = LiveCompressors(8)
    both = codec(live)
    fresh = kept_by(both)
    assert len(live) == 0
    decode(both, [both.encode(Frame(1, b"x"))])
    assert len(live) == 1
    assert kept_by(both) > fresh
    both.close()
    assert len(live) == 0
    assert kept_by(both) == fresh


def test_the_bound_holds_for_data_that_does_not_compress(codec: Make) -> None:
    for size in (0, 1, 100, 70_000):
        data = random.Random(size).randbytes(size)
        for mem_level in (1, 8):
            for level in (0, 1, 9):
                sender = codec(level=level, mem_level=mem_level, own_bits=9)
                assert len(sender.encode(Frame(2, data)).payload) <= sender.encoded_bound(size)
