"""The messages of the kit, and what happens to them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.testing import corpus
from wsext.testing.corpus import KINDS, changes, cuts, frames_of, random_messages, samples


@given(
    payload=st.binary(max_size=50),
    places=st.lists(st.integers(-5, 200), max_size=6),
    opcode=st.sampled_from([1, 2]),
)
def test_fragments_are_one_message(payload: bytes, places: list[int], opcode: int) -> None:
    made = frames_of(opcode, payload, places)
    assert b"".join(bytes(frame.payload) for frame in made) == payload
    assert [frame.opcode for frame in made] == [opcode] + [0] * len(places)
    assert [frame.fin for frame in made] == [False] * len(places) + [True]


def test_every_payload_is_sent_as_each_type_of_a_kind() -> None:
    payloads = [b"a", b"\xff", b"b"]
    text, binary, both = (sorted(samples(kind, payloads)) for kind in KINDS)
    assert text == [(1, b"a"), (1, b"b")]
    assert binary == [(2, b"a"), (2, b"b"), (2, b"\xff")]
    assert both == text + binary


@pytest.mark.parametrize("bits", range(10, 16))
def test_a_decoder_with_a_smaller_window_cannot_read_the_message_for_windows(bits: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -bits)
    packed = packer.compress(corpus.FAR) + packer.flush()

    def unpacked(bits: int) -> bytes:
        unpacker = zlib.decompressobj(-bits)
        return b"".join(unpacker.decompress(bytes([byte])) for byte in packed)

    assert unpacked(bits) == corpus.FAR
    with pytest.raises(zlib.error, match="too far back"):
        unpacked(bits - 1)


def test_noise_does_not_get_shorter() -> None:
    for size in (7, 30):
        assert len(zlib.compress(corpus.noise(size), 9)) > size


@pytest.mark.parametrize("size", [0, 1, 20, 100])
def test_a_short_message_is_cut_at_every_byte(size: int) -> None:
    body = bytes(range(size))
    if size <= 48:
        assert [cut.apply(body) for cut in cuts(size)] == [body[:end] for end in range(size)]
    ends = {len(cut.apply(body)) for cut in cuts(size)}
    assert ends >= {*range(min(size, 48))}
    assert size not in ends


def test_a_change_changes_one_thing_and_says_which() -> None:
    body = b"abcdefgh"
    made = {(change.what, change.apply(body)) for change in changes(len(body), near=8)}
    assert ("was changed at byte 0", b"`bcdefgh") in made
    assert ("has lost byte 2", b"abdefgh") in made
    assert ("has byte 7 twice", b"abcdefghh") in made
    assert ("has bytes 1 and 2 exchanged", b"acbdefgh") in made
    assert ("has changed bytes 0 and 1, not their sum", b"bacdefgh") in made
    same = [what for what, data in made if data == body]
    assert len(same) == 2, "the last byte has none to change places with"


def test_random_conversations_are_the_same_in_every_run() -> None:
    assert random_messages(3) == random_messages(3) != random_messages(4)
    assert {opcode for number in range(20) for _, opcode, _, _ in random_messages(number)} == {1, 2}
