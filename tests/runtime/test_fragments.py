"""A message in fragments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from wsext import Frame
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Data
from wsext.runtime.fragments import send_fragments


async def parts(*data: Data) -> AsyncIterator[Data]:
    for each in data:
        yield each


class Sent(list[Frame]):
    async def send(self, frame: Frame) -> None:
        self.append(frame)


async def test_the_first_frame_has_the_type_and_an_empty_last_one_the_end() -> None:
    sent = Sent()
    await send_fragments("a", parts("b", "c"), {"compress": False}, {"n": 1}, sent.send)
    assert [(frame.opcode, bytes(frame.payload), frame.fin) for frame in sent] == [
        (Opcode.TEXT, b"a", False),
        (Opcode.CONTINUATION, b"b", False),
        (Opcode.CONTINUATION, b"c", False),
        (Opcode.CONTINUATION, b"", True),
    ]
    assert (sent[0].hints, sent[0].meta) == ({"compress": False}, {"n": 1})


async def test_text_and_binary_parts_do_not_mix() -> None:
    sent = Sent()
    with pytest.raises(TypeError, match="all text or all binary"):
        await send_fragments("a", parts(b"b"), None, None, sent.send)
    assert [frame.fin for frame in sent] == [False]
