"""Where messages come from: a pipe's lines, or all of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from wsext.cli.input import Lines, input_lines


@asynccontextmanager
async def piped(data: bytes, *, whole: bool) -> AsyncIterator[Lines]:
    """Lines of a pipe that takes the place of stdin."""
    source, sink = os.pipe()
    os.write(sink, data)
    os.close(sink)
    before = os.dup(0)
    os.dup2(source, 0)
    try:
        async with input_lines(False, whole=whole) as lines:
            yield lines
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(source)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\n\n\xff\n", [b"a\r", b"", b"\xff"]),
        (b"", []),
    ],
)
async def test_a_line_ends_with_its_newline_and_nothing_else_is_taken(
    data: bytes, lines: list[bytes]
) -> None:
    async with piped(data, whole=False) as found:
        assert [line async for line in found] == lines
        assert found.number == len(lines)


@pytest.mark.parametrize(("data", "all_of_it"), [(b"a\nb\n", [b"a\nb\n"]), (b"", [])])
async def test_all_of_it_is_one_line(data: bytes, all_of_it: list[bytes]) -> None:
    async with piped(data, whole=True) as found:
        assert [line async for line in found] == all_of_it
        assert [line async for line in found] == []  # its end stays its end


async def test_what_could_not_be_sent_comes_once_more() -> None:
    async with piped(b"a\nb\n", whole=False) as found:
        first = await anext(found)
        found.put_back(first)
        assert [line async for line in found] == [b"a", b"b"]
        assert found.number == 2
