"""The guard: what it counts, and that it changes nothing but GOAWAY."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from wsext.http2 import PREFACE
from wsext.http2.frames import FrameGuard, GoAway, Limits, Violation

LIMITS = Limits(control_rate=10, reset_rate=1, header_size=1000)


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


class FakeClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def new_guard(clock: Callable[[], float] | None = None) -> FrameGuard:
    return FrameGuard(LIMITS, clock or FakeClock(), after_preface=False)


FRAMES = st.one_of(
    st.builds(frame, st.just(0), st.binary(min_size=1, max_size=60)),
    st.builds(frame, st.sampled_from([2, 4, 6, 8, 99]), st.binary(max_size=40)),
)
GOAWAYS = st.tuples(st.integers(0, 1000), st.integers(0, 13), st.binary(max_size=20))


@given(st.lists(st.one_of(FRAMES, GOAWAYS), max_size=20), st.lists(st.integers(1, 60)))
def test_only_goaway_is_taken_out_however_the_bytes_are_cut(
    parts: list[Any], sizes: list[int]
) -> None:
    sent, kept, goaways = PREFACE, PREFACE, []
    for part in parts:
        if isinstance(part, bytes):
            sent, kept = sent + part, kept + part
        else:
            last, code, text = part
            sent += frame(7, last.to_bytes(4, "big") + code.to_bytes(4, "big") + text, stream=0)
            goaways.append(GoAway(last, code))
    guard = FrameGuard(LIMITS, FakeClock(), after_preface=True)
    got = b""
    for size in sizes:
        got += guard.feed(sent[:size])
        sent = sent[size:]
    got += guard.feed(sent)
    assert got == kept
    assert guard.goaways == goaways


@pytest.mark.parametrize(
    ("flood", "at_most"),
    [
        (frame(6, b"12345678", stream=0), 100),
        (frame(4, stream=0), 100),
        (frame(2, b"\0\0\0\0\0"), 100),
        (frame(0), 100),
        (frame(99), 100),
        (frame(3, b"\0\0\0\x08"), 10),
        (frame(8, b"\0\0\0\1"), 200),
        (frame(1) + frame(9) * 1, 100),
        (frame(1, b"x" * 300), 6),
    ],
)
def test_too_many_is_a_violation(flood: bytes, at_most: int) -> None:
    guard = new_guard()
    for _ in range(at_most):
        guard.feed(flood)
    with pytest.raises(Violation) as caught:
        guard.feed(flood)
    assert caught.value.code == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_second_later_there_may_be_more() -> None:
    clock = FakeClock()
    guard = new_guard(clock)
    for _ in range(100):
        guard.feed(frame(6, b"12345678"))
    clock.now += 1
    for _ in range(10):
        guard.feed(frame(6, b"12345678"))
    with pytest.raises(Violation):
        guard.feed(frame(6, b"12345678"))
    guard = new_guard(clock)
    clock.now += 1000  # no more is saved up than what may come at once
    for _ in range(100):
        guard.feed(frame(6, b"12345678"))
    with pytest.raises(Violation):
        guard.feed(frame(6, b"12345678"))


def test_what_is_sent_may_be_acknowledged() -> None:
    guard = new_guard()
    for _ in range(5000):
        guard.sent_data()
        guard.feed(frame(8, b"\0\0\0\1") * 2)


def test_data_and_whole_header_blocks_are_no_flood() -> None:
    guard = new_guard()
    for _ in range(5000):
        guard.feed(frame(0, b"x") + frame(0, flags=1) + frame(1, b"x" * 500, flags=4))


@pytest.mark.parametrize("size", [65537, 1 << 23])
def test_a_frame_that_is_too_long_is_known_by_its_header(size: int) -> None:
    with pytest.raises(Violation) as caught:
        new_guard().feed(size.to_bytes(3, "big") + bytes(6))
    assert caught.value.code == ErrorCodes.FRAME_SIZE_ERROR
