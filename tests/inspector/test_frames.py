"""Frames as people see them, and a recorder with a bound."""

from __future__ import annotations

import pytest

from wsext import App, Frame, Session, testing
from wsext.inspector.frames import FrameSeen, Recorder, opcode_name, preview


async def test_a_recorder_takes_no_more_than_its_bound() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        recorder = Recorder(session, payload=True)
        for _ in range(1000):
            await session.send(b"\x00\xff")
        frames, left_out = recorder.take()
        assert len(frames) == 120
        assert left_out == 1000 - 60
        assert {frame.preview for frame in frames} == {"00 ff"}
        assert recorder.take() == ([], 0)
        recorder.end()
        await session.send("x")
        assert recorder.take() == ([], 0)

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


def test_a_frame_is_seen_as_it_is_now() -> None:
    assert [opcode_name(opcode) for opcode in (0, 1, 9, 11)] == [
        *("continuation", "text", "ping", "0xB")
    ]
    frame = Frame(1, b"abc", False, 0x50)
    seen = FrameSeen.of(frame, 7, "in", "wire", "abc")
    frame.payload = b""
    assert (seen.number, seen.direction, seen.stage, seen.opcode) == (7, "in", "wire", "text")
    assert (seen.fin, seen.rsv, seen.size, seen.preview) == (False, "RSV1+RSV3", 3, "abc")
