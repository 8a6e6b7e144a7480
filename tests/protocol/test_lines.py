"""Lines come in any pieces, and no longer or more than they may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.protocol.lines import LineReader, TooLarge


def read(reader: LineReader, *pieces: bytes) -> bytes | None:
    """The next line, after these pieces have come; ``None`` if it is not whole."""
    reading = reader.read_line()
    try:
        next(reading)
        for piece in pieces:
            reader.keep(piece)
            next(reading)
    except StopIteration as stop:
        return bytes(stop.value)
    return None


@given(st.binary(max_size=50).filter(lambda data: b"\n" not in data), st.integers(1, 60))
def test_a_line_may_come_in_any_pieces(text: bytes, step: int) -> None:
    line = text + b"\n"
    reader = LineReader(100, 5)
    pieces = [line[at : at + step] for at in range(0, len(line), step)]
    assert read(reader, *pieces) == line
    assert reader.lines == 1
    assert reader.take_rest() == b""


def test_what_comes_after_a_line_waits() -> None:
    reader = LineReader(100, 5)
    reader.keep(b"one\ntwo\nthree")
    assert (read(reader), read(reader), read(reader)) == (b"one\n", b"two\n", None)
    assert reader.take_rest() == b"three"
    assert reader.take_rest() == b""


@pytest.mark.parametrize("data", [b"x" * 101, b"x" * 100 + b"\n", b"a\n" * 51])
def test_all_lines_together_have_a_limit(data: bytes) -> None:
    reader = LineReader(100, 1000)
    reader.keep(data)
    with pytest.raises(TooLarge, match="100 bytes"):
        _ = [read(reader) for _ in range(51)]


def test_a_line_and_the_number_of_lines_have_a_limit() -> None:
    reader = LineReader(1 << 20, 3)
    reader.keep(b"x" * 8192 + b"\n")
    with pytest.raises(TooLarge, match="8192 bytes"):
        read(reader)
    reader = LineReader(1 << 20, 3)
    reader.keep(b"\n" * 6)
    for _ in range(5):  # the first line, three, and the empty one
        assert read(reader) == b"\n"
    with pytest.raises(TooLarge, match="3 headers"):
        read(reader)


def test_the_end_comes_too_early() -> None:
    reader = LineReader(100, 5)
    reader.keep(b"half")
    reader.ended = True
    with pytest.raises(EOFError):
        read(reader)
