"""Frames as people see them, and a recorder with a bound."""

from __future__ import annotations

import pytest

from wsext import App, Frame, Session, testing
from wsext.inspector.frames import FrameFollower, Reader, Recorder, opcode_name, preview


async def test_a_recorder_keeps_the_last_frames_and_counts_the_others() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        recorder = Recorder(session, payload=True)
        reader = Reader(recorder, payload=True)
        await session.send("first")
        assert [frame.stage for frame in reader.take()[0]] == ["app", "wire"]
        for _ in range(1000):
            await session.send(b"\x00\xff")
        frames, left_out = reader.take()
        assert [frame.number for frame in frames[::2]] == list(range(942, 1002))
        assert left_out == 1000 - 60
        assert {frame.preview for frame in frames} == {"00 ff"}
        assert reader.take() == ([], 0)
        recorder.end()
        await session.send("x")
        assert reader.take() == ([], 0)
        late, missed = Reader(recorder, payload=False).take()
        assert (len(late), missed) == (120, 0)  # nobody misses what was before
        assert {frame.preview for frame in late} == {""}

    async with testing.connect(app) as client:
        async for _ in client:
            pass
        info = await client.wait_closed()
    assert info.code == 1000


@pytest.mark.parametrize(
    ("frame", "stage", "shown"),
    [
        (Frame(1, "é".encode()), "wire", "é"),
        (Frame(1, b"\xff"), "wire", "\ufffd"),
        (Frame(1, b"squeezed", rsv=0x40), "wire", b"squeezed".hex(" ")),
        (Frame(0, b"rest"), "app", "rest"),
        (Frame(0, b"rest"), "wire", b"rest".hex(" ")),
        (Frame(2, b"\x00\xff"), "app", "00 ff"),
        (Frame(8, b"\x03\xe8bye"), "wire", "1000 bye"),
        (Frame(8, b"\x03\xe8"), "wire", "1000"),
        (Frame(8, b""), "wire", ""),
        (Frame(1, b"x" * 500), "app", "x" * 80),
        (Frame(2, b"x" * 500), "app", ("78 " * 26).strip()),
    ],
)
def test_a_payload_is_shown_as_what_it_is_and_in_short(
    frame: Frame, stage: str, shown: str
) -> None:
    assert preview(frame, stage) == shown


def test_a_frame_is_seen_as_it_was() -> None:
    assert [opcode_name(opcode) for opcode in (0, 1, 9, 11)] == [
        *("continuation", "text", "ping", "0xB")
    ]
    frame = Frame(2, b"abc" * 200, False, 0x50)
    step = FrameFollower().step("in", "wire", frame)
    frame.payload = b""
    seen = step.seen()
    assert (seen.number, seen.direction, seen.stage, seen.opcode) == (1, "in", "wire", "binary")
    assert (seen.fin, seen.rsv, seen.size) == (False, "RSV1+RSV3", 600)
    assert seen.preview.startswith("61 62 63")
    assert step.seen(payload=False).preview == ""


def test_stages_that_change_nothing_are_marked() -> None:
    follower = FrameFollower(payload=False)
    frame, squeezed = Frame(1, b"hello hello"), Frame(1, b"he", rsv=0x40)
    steps = [
        follower.step("out", "app", frame),
        follower.step("out", "permessage-checksum", Frame(1, bytearray(b"hello hello"))),
        follower.step("in", "wire", Frame(9, b"")),  # the other way has a number of its own
        follower.step("out", "permessage-deflate", squeezed),
        follower.step("out", "wire", squeezed),
        follower.step("out", "app", squeezed),  # the next frame, that is the same
    ]
    assert [(step.number, step.unchanged) for step in steps] == [
        *((1, False), (1, True), (2, False), (1, False), (1, True), (3, False))
    ]
    assert follower.count == 3


async def test_a_frame_whose_way_is_cut_off_is_not_shown() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        recorder = Recorder(session, payload=False)
        for _ in range(61):
            await session.send(b"x")
        await session.ping()  # its pong comes in between: three steps of one frame are no pair
        frames, _ = Reader(recorder, payload=False).take()
        assert {frame.stage for frame in frames if frame.number == frames[0].number} == {
            *("app", "wire")
        }

    async with testing.connect(app) as client:
        async for _ in client:
            pass
