"""What was agreed, in order: whether there is anything to do, and the end of all codecs."""

from __future__ import annotations

import pytest

from wsext import RSV, Codec
from wsext.protocol.stack import Stack
from wsext.protocol.stage import Stage


def test_close_closes_every_codec_once_even_if_one_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = []

    class Counting(Codec):
        def close(self) -> None:
            closed.append(1)
            raise RuntimeError("cannot close")

    stack = Stack([Stage("a", Counting(), RSV.NONE), Stage("b", Counting(), RSV.NONE)])
    stack.close()
    stack.close()
    assert closed == [1, 1]
    assert "a: close() failed" in caplog.text


def test_without_stages_and_hooks_there_is_nothing_to_do() -> None:
    stack = Stack()
    assert stack.passive
    stack.set_hooks([lambda frame: None])
    assert not stack.passive
    stack.set_hooks()
    stack.set_trace(lambda *event: None)
    assert not stack.passive
    stack.set_trace(None)
    assert stack.passive
