"""Frames to bytes and back: lengths, masks, reserved bits, and any way to cut the stream."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import RSV, Frame, RemoteProtocolError
from wsext.protocol.wire import FrameParser, MaskSource, apply_mask, frame_header

KEY = b"\x12\x34\x56\x78"


def to_bytes(frame: Frame, masked: bool) -> bytes:
    header = frame_header(frame.opcode, len(frame.payload), frame.fin, frame.rsv, masked)
    if masked:
        return header + KEY + apply_mask(frame.payload, KEY)
    return header + bytes(frame.payload)


def parse(data: bytes, **options: object) -> list[Frame]:
    settings = {"masked": False, "max_size": 1 << 20, **options}
    frames: list[Frame] = []
    FrameParser(**settings).feed(data, frames)  # type: ignore[arg-type]
    return frames


sizes = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))
data_frames = st.builds(
    Frame,
    opcode=st.sampled_from([0, 1, 2]),
    payload=sizes.map(lambda n: bytes(i & 0xFF for i in range(n))),
    fin=st.booleans(),
)
control_frames = st.builds(
    Frame, opcode=st.sampled_from([8, 9, 10]), payload=st.binary(max_size=125)
)


@given(
    frames=st.lists(st.one_of(data_frames, control_frames), max_size=6),
    masked=st.booleans(),
    in_place=st.booleans(),
    data=st.data(),
)
def test_any_frames_cut_anywhere_come_out_as_they_went_in(
    frames: list[Frame], masked: bool, in_place: bool, data: st.DataObject
) -> None:
    stream = b"".join(to_bytes(frame, masked) for frame in frames)
    parser = FrameParser(masked=masked, max_size=1 << 20)
    out: list[Frame] = []
    at = 0
    while at < len(stream):
        end = at + data.draw(st.one_of(st.integers(1, 12), st.integers(1, len(stream))))
        while at < min(end, len(stream)):  # the room depends on what other tests have left
            room = parser.room() if in_place else None
            if room is None:
                parser.feed(stream[at:end], out)
                at = end
            else:
                step = min(end, len(stream), at + len(room)) - at
                room[:step] = stream[at : at + step]
                parser.advance(step)
                parser.feed(b"", out)
                at += step
    assert out == frames


@given(payload=st.binary(max_size=3000), key=st.binary(min_size=4, max_size=4))
def test_masking_is_xor_and_undoes_itself(payload: bytes, key: bytes) -> None:
    masked = apply_mask(payload, key)
    assert masked == bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert apply_mask(masked, key) == payload


def test_masking_keys_are_fresh() -> None:
    masks = MaskSource()
    keys = [masks.next() for _ in range(5000)]
    assert all(len(key) == 4 for key in keys)
    assert len(set(keys)) > 4990


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_lengths_take_their_minimal_form(size: int, header: str) -> None:
    assert frame_header(2, size, True, 0, False).hex() == header
    (frame,) = parse(bytes.fromhex(header) + bytes(size))
    assert len(frame.payload) == size


@pytest.mark.parametrize(
    ("stream", "options", "code", "reason"),
    [
        ("827e007d", {}, 1002, "minimal"),
        ("827f000000000000ffff", {}, 1002, "minimal"),
        ("827f8000000000000000", {}, 1002, "highest bit"),
        ("8280", {}, 1002, "mask"),
        ("8200", {"masked": True}, 1002, "mask"),
        ("c200", {}, 1002, "RSV1"),
        ("a200", {}, 1002, "RSV2"),
        ("9200", {}, 1002, "RSV3"),
        ("8300", {}, 1002, "opcode"),
        ("8b00", {}, 1002, "opcode"),
        ("0900", {}, 1002, "control"),
        ("897e007e", {}, 1002, "control"),
        ("8205", {"max_size": 4}, 1009, "limit is 4"),
        ("827f7fffffffffffffff", {}, 1009, "limit"),
        ("4000", {"rsv_first": RSV.RSV1}, 1002, "RSV1"),
    ],
)
def test_what_breaks_the_rfc_is_refused(
    stream: str, options: dict[str, object], code: int, reason: str
) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(bytes.fromhex(stream), **options)
    assert caught.value.code == code
    assert reason in caught.value.reason


def test_frames_before_a_fault_still_count() -> None:
    frames: list[Frame] = []
    with pytest.raises(RemoteProtocolError):
        FrameParser(masked=False, max_size=100).feed(b"\x81\x02hi\xf1\x00", frames)
    assert frames == [Frame(1, b"hi")]


def test_claimed_bits_and_opcodes_pass() -> None:
    options = {"rsv_first": RSV.RSV1, "rsv_control": RSV.RSV3, "opcodes": frozenset({3, 11})}
    frames = parse(bytes.fromhex("c100 8300 8b00 9900".replace(" ", "")), **options)
    assert [(f.opcode, f.rsv) for f in frames] == [(1, 0x40), (3, 0), (11, 0), (9, 0x10)]


def test_a_declared_length_allocates_nothing() -> None:
    parser = FrameParser(masked=False, max_size=1 << 31)
    out: list[Frame] = []
    tracemalloc.start()
    parser.feed(bytes.fromhex("827f0000000040000000") + b"x", out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000
    assert out == []


def test_a_payload_that_comes_byte_by_byte_costs_its_bytes() -> None:
    parser = FrameParser(masked=False, max_size=1 << 20)
    out: list[Frame] = []
    parser.feed(bytes.fromhex("827f0000000000100000"), out)
    tracemalloc.start()
    for _ in range(200_000):
        parser.feed(b"x", out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000
    parser.feed(bytes(848_576), out)
    assert len(out[0].payload) == 1 << 20
