"""What is stored of a message."""

from __future__ import annotations

import msgspec
import pytest

from wsext.rooms.backplanes.envelope import DECODER, record_id, seal


def test_it_says_who_sent_it_and_what() -> None:
    for number in (0, 1, 1 << 40):
        assert DECODER.decode(seal("abc", number, b"payload")) == ("abc", number, b"payload")


@pytest.mark.parametrize("stored", [("", 1, b""), ("x" * 65, 1, b""), ("a", -1, b""), ("a", 1, "")])
def test_what_has_other_types_is_refused(stored: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(msgspec.msgpack.encode(stored))


def test_ids_of_two_publishers_differ() -> None:
    assert record_id("billing", "7") == record_id("billing", 7) != record_id("orders", "7")
