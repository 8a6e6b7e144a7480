"""The guard: what it counts, and that it changes nothing but GOAWAY."""

from __future__ import annotations

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


OPEN = {1, 3, 5}


FIRST = frame(4, stream=0)


def new_guard(clock: FakeClock | None = None, limits: Limits = LIMITS) -> FrameGuard:
    """One that has seen the first frame some time ago."""
    clock = clock or FakeClock()
    guard = FrameGuard(limits, clock, OPEN.__contains__, after_preface=False)
    assert feed(guard, FIRST) == [FIRST]
    clock.now += 1
    return guard


def feed(guard: FrameGuard, data: bytes) -> list[bytes]:
    """Give it bytes; the parts that h2 may have."""
    guard.add(data)
    return list(iter(guard.next, None))


def frames_in(data: bytes) -> list[bytes]:
    found = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        found.append(data[:end])
        data = data[end:]
    return found


def streams_of(frames: list[bytes]) -> tuple[dict[int, bytes], list[bytes]]:
    """The plain DATA of each stream, and all other frames."""
    data: dict[int, bytes] = {}
    others = []
    for one in frames:
        stream = int.from_bytes(one[5:9], "big")
        if one[3] == 0 and not one[4]:
            data[stream] = data.get(stream, b"") + one[9:]
        else:
            others.append(one)
    return data, others


FRAMES = st.one_of(
    st.builds(
        frame, st.just(0), st.binary(min_size=1, max_size=60), stream=st.sampled_from([1, 3])
    ),
    st.builds(frame, st.sampled_from([2, 6, 8]), st.binary(max_size=40)),
    st.builds(frame, st.just(0), st.binary(min_size=1, max_size=9), st.just(1)),
)
GOAWAYS = st.tuples(st.integers(0, 1000), st.integers(0, 13), st.binary(max_size=20))
UNKNOWN = st.builds(frame, st.integers(10, 255), st.binary(max_size=40))


@given(
    st.lists(st.one_of(FRAMES, GOAWAYS, UNKNOWN.map(lambda f: [f])), max_size=20),
    st.lists(st.integers(1, 60)),
)
def test_h2_gets_every_byte_of_data_and_all_known_frames_however_the_bytes_are_cut(
    parts: list[Any], sizes: list[int]
) -> None:
    sent, kept, goaways = PREFACE + FIRST, [FIRST], []
    for part in parts:
        if isinstance(part, bytes):
            sent += part
            kept.append(part)
        elif isinstance(part, list):
            sent += part[0]
        else:
            last, code, text = part
            sent += frame(7, last.to_bytes(4, "big") + code.to_bytes(4, "big") + text, stream=0)
            goaways.append(GoAway(last, code))
    guard = FrameGuard(LIMITS, FakeClock(), OPEN.__contains__, after_preface=True)
    got = b""
    for size in [*sizes, len(sent)]:
        got += b"".join(feed(guard, sent[:size]))
        sent = sent[size:]
    assert got.startswith(PREFACE)
    assert streams_of(frames_in(got[len(PREFACE) :])) == streams_of(kept)
    assert guard.goaways == goaways


@pytest.mark.parametrize("first", [frame(1, b"x", flags=4), frame(4, flags=1, stream=0), frame(0)])
def test_the_first_frame_is_one_of_settings(first: bytes) -> None:
    """RFC 9113 §3.4."""
    guard = FrameGuard(LIMITS, FakeClock(), OPEN.__contains__, after_preface=False)
    with pytest.raises(Violation) as caught:
        feed(guard, first)
    assert caught.value.code == ErrorCodes.PROTOCOL_ERROR


def test_tiny_frames_are_joined() -> None:
    parts = feed(new_guard(), (frame(0, b"x") + frame(0, b"y", stream=3)) * 5000)
    frames = [one for part in parts for one in frames_in(part)]
    assert streams_of(frames) == ({1: b"x" * 5000, 3: b"y" * 5000}, [])
    assert len(frames) <= 100


def test_what_changes_a_stream_ends_a_part() -> None:
    OPEN.add(7)
    guard = new_guard()
    guard.add(frame(0, b"x", stream=7) + frame(3, bytes(4), stream=7) + frame(0, b"y", stream=7))
    assert guard.next() == frame(0, b"x", stream=7) + frame(3, bytes(4), stream=7)
    OPEN.remove(7)
    assert guard.next() == frame(0, b"y", stream=7)  # for h2 to answer


def test_frames_over_the_rate_are_read_later() -> None:
    clock = FakeClock()
    guard = new_guard(clock, Limits(frame_rate=1000))
    feed(guard, frame(0, b"x") * 900)
    assert guard.rest == 0
    feed(guard, frame(0, b"x") * 900)
    assert 0.8 <= guard.rest <= 1
    clock.now += 2
    feed(guard, frame(1, b"", 4, stream=9) + frame(6, bytes(8), stream=0))  # cost h2 more
    assert guard.rest == 0
    feed(guard, frame(1, b"", 4, stream=11) * 1 + frame(0, b"x") * 900)
    assert guard.rest > 0


def test_data_for_a_stream_that_was_reset_is_dropped_and_counted() -> None:
    guard = new_guard(limits=Limits(window=1000))
    guard.ignore(9)
    assert feed(guard, frame(0, b"x" * 400, stream=9) * 2) == [b"", b""]
    assert guard.dropped == 800
    with pytest.raises(Violation) as caught:  # it had no window for that
        feed(guard, frame(0, b"x" * 400, stream=9))
    assert caught.value.code == ErrorCodes.ENHANCE_YOUR_CALM


def test_h2_keeps_only_the_settings_that_it_knows() -> None:
    given = [(1, 1 << 31), (4, 70_000), (99, 5), (0x1A1A, 0)]
    data = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in given)
    (part,) = feed(new_guard(), frame(4, data, stream=0))
    assert part == frame(4, bytes.fromhex("000100001000 000400011170"), stream=0)


@pytest.mark.parametrize(
    ("flood", "at_most"),
    [
        (frame(6, b"12345678", stream=0), 100),
        (frame(4, stream=0), 100),
        (frame(2, b"\0\0\0\0\0"), 100),
        (frame(0), 100),
        (frame(99), 100),
        (frame(7, bytes(8), stream=0), 100),
        (frame(0, b"\x03\0\0\0", flags=8), 100),  # nothing but padding
        (frame(1, b"x", flags=4), 101),  # a request, and trailers
        (frame(4, bytes(3000), stream=0), 1),
        (frame(3, b"\0\0\0\x08"), 10),
        (frame(0, b"x", stream=9), 10),  # a stream that is over
        (frame(1, b"x", flags=4, stream=9), 11),
        (frame(8, b"\0\0\0\1"), 200),
        (frame(1, flags=4) + frame(9, flags=4) * 2, 33),
        (frame(1, b"x" * 300), 6),
    ],
)
def test_too_many_is_a_violation(flood: bytes, at_most: int) -> None:
    guard = new_guard()
    for _ in range(at_most):
        feed(guard, flood)
    with pytest.raises(Violation) as caught:
        feed(guard, flood)
    assert caught.value.code == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_second_later_there_may_be_more() -> None:
    clock = FakeClock()
    guard = new_guard(clock)
    for _ in range(100):
        feed(guard, frame(6, b"12345678"))
    clock.now += 1
    for _ in range(10):
        feed(guard, frame(6, b"12345678"))
    with pytest.raises(Violation):
        feed(guard, frame(6, b"12345678"))
    guard = new_guard(clock)
    clock.now += 1000  # no more is saved up than what may come at once
    for _ in range(100):
        feed(guard, frame(6, b"12345678"))
    with pytest.raises(Violation):
        feed(guard, frame(6, b"12345678"))


def test_what_is_sent_may_be_acknowledged() -> None:
    guard = new_guard()
    for _ in range(5000):
        guard.sent_data()
        feed(guard, frame(8, b"\0\0\0\1") * 2)


def test_data_and_requests_are_no_flood() -> None:
    guard = new_guard()
    for number in range(7, 5000, 2):
        feed(guard, frame(0, b"x") + frame(0, flags=1) + frame(1, b"x", 4, stream=number))


@pytest.mark.parametrize("size", [65537, 1 << 23])
def test_a_frame_that_is_too_long_is_known_by_its_header(size: int) -> None:
    with pytest.raises(Violation) as caught:
        feed(new_guard(), size.to_bytes(3, "big") + bytes(6))
    assert caught.value.code == ErrorCodes.FRAME_SIZE_ERROR
