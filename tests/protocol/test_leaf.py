"""The loops over payload bytes; `test_compiled.py` holds both lives of them against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.protocol import leaf

KEY = bytes.fromhex("37fa213d")


@pytest.mark.parametrize(
    ("first", "data", "key", "frame"),
    [
        (0x81, "Hello", None, "810548656c6c6f"),
        (0x81, "Hello", KEY, "818537fa213d7f9f4d5158"),
        (0x01, "Hel", None, "010348656c"),
        (0x80, b"lo", None, "80026c6f"),
        (0x8A, memoryview(b"Hello"), KEY, "8a8537fa213d7f9f4d5158"),
    ],
)
def test_the_examples_of_the_rfc(first: int, data: str | bytes, key: bytes, frame: str) -> None:
    """RFC 6455 §5.7."""
    assert leaf.build_frame(first, data, key).hex() == frame


@pytest.mark.parametrize(
    ("size", "head"), [(256, "827e0100"), (65536, "827f0000000000010000"), (126, "827e007e")]
)
def test_long_payloads_have_long_lengths(size: int, head: str) -> None:
    assert leaf.build_frame(0x82, bytes(size), None) == bytes.fromhex(head) + bytes(size)


@given(data=st.binary(max_size=1200), key=st.binary(min_size=4, max_size=4))
def test_masking_is_one_xor_whatever_the_length(data: bytes, key: bytes) -> None:
    masked = leaf.mask(data, key)
    assert masked == bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
    stream = b"head" + key + masked + b"tail"
    assert leaf.unmask(stream, 8, len(data), 4) == data
    assert leaf.unmask(bytearray(stream), 8, len(data), 4) == data


@given(text=st.text(max_size=300))
def test_text_comes_out_as_it_went_in(text: str) -> None:
    data = text.encode()
    assert leaf.copy_text(b"head" + data, 4, len(data)) == text
    assert leaf.unmask_text(KEY + leaf.mask(data, KEY), 4, len(data), 0) == text
    assert bytes(leaf.text_view(text)) == data
    assert leaf.copy(b"head" + data, 4, len(data)) == data
    assert leaf.size_of(memoryview(data)) == len(data)


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_what_is_not_utf8_is_no_text(data: bytes) -> None:
    assert leaf.copy_text(data, 0, len(data)) is None
    assert leaf.unmask_text(KEY + leaf.mask(data, KEY), 4, len(data), 0) is None


def test_a_move_stays_inside_of_its_target() -> None:
    target = bytearray(8)
    leaf.move(target, 2, b"abcdef", 1, 3)
    assert target == b"\0\0bcd\0\0\0"
    for at, size in ((-1, 1), (0, 9), (8, 1), (0, -1)):
        with pytest.raises(IndexError):
            leaf.move(target, at, bytes(16), 0, size)


@pytest.mark.parametrize("key", [b"", b"123", b"12345"])
def test_a_masking_key_has_four_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match="four"):
        leaf.mask(b"x", key)
