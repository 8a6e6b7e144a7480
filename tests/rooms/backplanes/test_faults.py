"""What cannot be read: left out, counted, and named once a minute, without what it holds."""

from __future__ import annotations

import logging

import msgspec
import pytest

from wsext import BackplaneStatus
from wsext.rooms.backplanes.faults import Faults

DECODER = msgspec.msgpack.Decoder(tuple[str, int])

UNREADABLE = {
    "nothing": b"",
    "no MessagePack": b"\xc1\xff",
    "cut off": b"\x92\xa5he",
    "another type": b"\x92\x01\x01",
    "one field too few": b"\x91\xa1a",
    "an integer beyond 64 bits": b"\x92\xa1a\xd3" + b"\x80" + bytes(6),
    "text that is not UTF-8": b"\x92\xa2\xff\xfe\x01",
    "nested too deeply": b"\x91" * 100_000,
    "a length without data": b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_nothing_that_cannot_be_read_raises(data: bytes) -> None:
    status = BackplaneStatus()
    assert Faults(status).read("a message", "tea", DECODER, data) is None
    assert status.unreadable == 1


def test_what_can_be_read_is_no_fault() -> None:
    status = BackplaneStatus()
    assert Faults(status).read("a message", "tea", DECODER, b"\x92\xa1a\x05") == ("a", 5)
    assert status.unreadable == 0


def test_each_kind_is_named_once_in_a_minute_and_nothing_that_came_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 1000.0
    status = BackplaneStatus("redis://here")
    faults = Faults(status, lambda: now)
    with caplog.at_level(logging.DEBUG, "wsext"):
        for _ in range(100):
            faults.read("a message", "tea\n\x1b[31m", DECODER, b"\x92\xa6secret\xa6secret")
            faults.add("a member", "tea", "its id is another's")
        assert len(caplog.records) == 2
        now += 61
        faults.add("a member", "tea", "its id is another's")
    assert len(caplog.records) == 3
    assert status.unreadable == 201
    assert "and 99 times more before" in caplog.text
    assert "secret" not in caplog.text
    assert "\x1b" not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)
